import asyncio
from urllib.parse import urlsplit

from services.orders.tests.factories import Caller, Shop, fields, order_of

from testkit.waiting import eventually

IN_FLIGHT = "https://hopline.example/problems/idempotency-key-in-flight"


class TestSameKeySameBody:
    async def test_repeats_the_answer_byte_by_byte(self, shop: Shop) -> None:
        sku = await shop.product(stock=10)
        customer = shop.caller()
        first = await customer.place((sku, 3), key="k")
        again = await customer.place((sku, 3), key="k")
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert await shop.available(sku) == 7
        assert len(await shop.events_of(first.json()["id"])) == 1

    async def test_repeats_it_also_after_the_order_has_changed(self, shop: Shop) -> None:
        sku = await shop.product()
        customer = shop.caller()
        first = await customer.place((sku, 1), key="k")
        await customer.cancel(first.json()["id"])
        again = await customer.place((sku, 1), key="k")
        assert again.content == first.content
        assert await shop.available(sku) == 100

    async def test_body_is_the_same_in_other_spelling(self, shop: Shop) -> None:
        sku = await shop.product()
        customer = shop.caller()
        first = await customer.place((sku, 1), key="k")
        spelled = f'{{ "items" : [ {{ "quantity": 1,\n "sku": "{sku}" }} ] }}'.encode()
        again = await customer.send_order(spelled, headers={"Idempotency-Key": "k"})
        assert again.content == first.content


class TestSameKeyOtherBody:
    async def test_is_refused(self, shop: Shop) -> None:
        sku = await shop.product()
        customer = shop.caller()
        await customer.placed((sku, 1))
        assert (await customer.place((sku, 1), key="k")).status_code == 201
        refused = await customer.place((sku, 2), key="k")
        assert refused.status_code == 422
        assert refused.json()["type"].endswith("/idempotency-key-reused")
        assert fields(refused) == ["Idempotency-Key"]


class TestScope:
    async def test_another_users_key_is_another_key(self, shop: Shop) -> None:
        sku = await shop.product()
        mine, yours = await shop.caller().place((sku, 1), key="k"), await shop.caller().place((sku, 1), key="k")
        assert mine.json()["id"] != yours.json()["id"]

    async def test_refused_order_leaves_its_key_unused(self, shop: Shop) -> None:
        sku = await shop.product(stock=0)
        customer = shop.caller()
        assert (await customer.place((sku, 1), key="k")).status_code == 409
        await shop.database.execute("UPDATE product SET stock = 1 WHERE sku = $1", sku)
        placed = await customer.place((sku, 1), key="k")
        assert placed.status_code == 201
        assert "Idempotency-Replayed" not in placed.headers


class TestInFlight:
    async def test_second_is_told_to_come_back(self, shop: Shop) -> None:
        sku = await shop.product()
        customer = shop.caller()
        async with shop.database.acquire() as other, other.transaction():
            await other.execute("SELECT 1 FROM product WHERE sku = $1 FOR UPDATE", sku)
            first = asyncio.create_task(customer.place((sku, 1), key="k"))
            await eventually(shop.somebody_waits)
            second = await customer.place((sku, 1), key="k")
        assert (second.status_code, second.json()["type"]) == (409, IN_FLIGHT)
        assert second.headers["Retry-After"] == "1"
        assert (await first).status_code == 201
        third = await customer.place((sku, 1), key="k")
        assert third.content == (await first).content

    async def test_of_twelve_at_once_one_orders(self, shop: Shop) -> None:
        sku = await shop.product()
        customer = shop.caller()
        answers = await asyncio.gather(*(customer.place((sku, 1), key="k") for _ in range(12)))
        ordered = [answer for answer in answers if answer.status_code == 201]
        assert [answer for answer in ordered if "Idempotency-Replayed" not in answer.headers] != []
        assert len({answer.content for answer in ordered}) == 1
        assert {answer.json()["type"] for answer in answers if answer.status_code != 201} <= {IN_FLIGHT}
        assert await shop.available(sku) == 99

    async def test_the_primary_key_holds_where_the_lock_was_too_late(self, shop: Shop) -> None:
        """The look and the lock are one statement: another order may commit after the look and before the lock."""
        sku, customer = await shop.product(), shop.caller()
        earlier = await customer.placed((sku, 1))
        async with shop.database.acquire() as other, other.transaction():
            await other.execute(
                "INSERT INTO idempotency_key (user_id, key, fingerprint, order_id, response, created_at)"
                " VALUES ($1, 'late', '', $2, '', now())",
                customer.id,
                earlier["id"],
            )
            late = asyncio.create_task(customer.place((sku, 1), key="late"))
            await eventually(shop.somebody_waits)
        assert ((await late).status_code, (await late).json()["type"]) == (409, IN_FLIGHT)
        assert await shop.available(sku) == 99


class TestLostAnswer:
    async def test_retry_gets_the_order_that_was_placed(self, shop: Shop) -> None:
        sku = await shop.product()
        customer = shop.caller()
        await _order_and_hang_up(shop, customer, sku, key="k")
        retried = await customer.place((sku, 1), key="k")
        assert retried.headers["Idempotency-Replayed"] == "true"
        assert [order["id"] for order in (await customer.get("/orders")).json()["items"]] == [retried.json()["id"]]
        assert await shop.available(sku) == 99


async def _order_and_hang_up(shop: Shop, customer: Caller, sku: str, *, key: str) -> None:
    """Send an order, and reset the connection unread as soon as the order is in the database."""
    address = urlsplit(shop.url)
    body = order_of((sku, 1))
    head = [
        "POST /orders HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: {customer.headers['Authorization']}",
        f"Idempotency-Key: {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await eventually(lambda: shop.database.fetchval("SELECT EXISTS (SELECT 1 FROM customer_order)"))
    writer.transport.abort()
