"""Idempotency keys: one order per user and key, and the stored response for every retry."""

import asyncio
from urllib.parse import urlsplit

from services.orders.tests.clients import ApiClient, order_body
from services.orders.tests.factories import Shop, error_fields

from testkit.waiting import eventually

IN_FLIGHT = "https://hopline.example/problems/idempotency-key-in-flight"


class TestSameKeySameBody:
    async def test_retry_returns_the_stored_response(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=10)
        customer = shop.client()
        first = await customer.place_order((sku, 3), key="k")
        again = await customer.place_order((sku, 3), key="k")
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert await shop.available(sku) == 7
        assert len(await shop.events_of(first.json()["id"])) == 1

    async def test_retry_returns_the_stored_response_when_the_order_has_changed(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=10)
        customer = shop.client()
        first = await customer.place_order((sku, 1), key="k")
        await customer.cancel(first.json()["id"])
        again = await customer.place_order((sku, 1), key="k")
        assert again.content == first.content
        assert await shop.available(sku) == 10

    async def test_retry_is_recognised_when_the_json_is_formatted_differently(self, shop: Shop) -> None:
        sku = await shop.create_product()
        customer = shop.client()
        first = await customer.place_order((sku, 1), key="k")
        reformatted = f'{{ "items" : [ {{ "quantity": 1,\n "sku": "{sku}" }} ] }}'.encode()
        again = await customer.send_order(reformatted, headers={"Idempotency-Key": "k"})
        assert again.content == first.content


class TestSameKeyOtherBody:
    async def test_order_is_rejected_when_the_key_was_used_with_other_items(self, shop: Shop) -> None:
        sku = await shop.create_product()
        customer = shop.client()
        assert (await customer.place_order((sku, 1), key="k")).status_code == 201
        rejected = await customer.place_order((sku, 2), key="k")
        assert rejected.status_code == 422
        assert rejected.json()["type"].endswith("/idempotency-key-reused")
        assert error_fields(rejected) == ["Idempotency-Key"]


class TestScope:
    async def test_key_places_another_order_when_another_user_sends_it(self, shop: Shop) -> None:
        sku = await shop.create_product()
        first = await shop.client().create_order((sku, 1), key="k")
        second = await shop.client().create_order((sku, 1), key="k")
        assert first["id"] != second["id"]

    async def test_key_can_be_used_again_when_the_order_was_rejected(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=0)
        customer = shop.client()
        assert (await customer.place_order((sku, 1), key="k")).status_code == 409
        await shop.database.execute("UPDATE product SET stock = 1 WHERE sku = $1", sku)
        placed = await customer.place_order((sku, 1), key="k")
        assert placed.status_code == 201
        assert "Idempotency-Replayed" not in placed.headers


class TestInFlight:
    async def test_second_request_conflicts_with_retry_after_when_the_first_is_in_flight(self, shop: Shop) -> None:
        sku = await shop.create_product()
        customer = shop.client()
        async with shop.database.acquire() as blocker, blocker.transaction():
            await blocker.execute("SELECT 1 FROM product WHERE sku = $1 FOR UPDATE", sku)
            first = asyncio.create_task(customer.place_order((sku, 1), key="k"))
            await eventually(shop.has_lock_waiter)
            second = await customer.place_order((sku, 1), key="k")
        assert (second.status_code, second.json()["type"]) == (409, IN_FLIGHT)
        assert second.headers["Retry-After"] == "1"
        assert (await first).status_code == 201
        third = await customer.place_order((sku, 1), key="k")
        assert third.content == (await first).content

    async def test_one_order_is_placed_when_twelve_requests_share_a_key(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=10)
        customer = shop.client()
        responses = await asyncio.gather(*(customer.place_order((sku, 1), key="k") for _ in range(12)))
        accepted = [response for response in responses if response.status_code == 201]
        rejected = [response for response in responses if response.status_code != 201]
        assert len([response for response in accepted if "Idempotency-Replayed" not in response.headers]) == 1
        assert len({response.content for response in accepted}) == 1
        assert {response.json()["type"] for response in rejected} <= {IN_FLIGHT}
        assert await shop.available(sku) == 9

    async def test_primary_key_prevents_a_second_order_when_the_lock_is_taken_too_late(self, shop: Shop) -> None:
        """The first statement of an order takes its snapshot before it takes the lock of the key.

        So it does not find the key of a transaction that commits in between. The transaction of the test stands for it.
        """
        sku, customer = await shop.create_product(stock=10), shop.client()
        earlier = await customer.create_order((sku, 1))
        async with shop.database.acquire() as other, other.transaction():
            await other.execute(
                "INSERT INTO idempotency_key (user_id, key, fingerprint, order_id, response, created_at)"
                " VALUES ($1, 'late', '', $2, '', now())",
                customer.id,
                earlier["id"],
            )
            late = asyncio.create_task(customer.place_order((sku, 1), key="late"))
            await eventually(shop.has_lock_waiter)
        assert ((await late).status_code, (await late).json()["type"]) == (409, IN_FLIGHT)
        assert await shop.available(sku) == 9


class TestLostResponse:
    async def test_retry_returns_the_placed_order_when_the_response_was_lost(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=10)
        customer = shop.client()
        await _place_and_disconnect(shop, customer, sku, key="k")
        retried = await customer.place_order((sku, 1), key="k")
        assert retried.headers["Idempotency-Replayed"] == "true"
        assert [order["id"] for order in (await customer.get("/orders")).json()["items"]] == [retried.json()["id"]]
        assert await shop.available(sku) == 9


async def _place_and_disconnect(shop: Shop, customer: ApiClient, sku: str, *, key: str) -> None:
    """Send an order, and abort the connection as soon as the order is in the database."""
    address = urlsplit(shop.url)
    body = order_body((sku, 1))
    request_head = [
        "POST /orders HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: {customer.headers['Authorization']}",
        f"Idempotency-Key: {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write("\r\n".join([*request_head, "", ""]).encode() + body)
    await eventually(lambda: shop.database.fetchval("SELECT EXISTS (SELECT 1 FROM customer_order)"))
    writer.transport.abort()
