"""Lists of orders, and single orders."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from services.orders.tests.factories import Shop, error_fields

from shared.web.pagination import encode_cursor
from testkit.queries import Queries


class TestListOrders:
    async def test_pages_list_orders_newest_first(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        placed = [(await customer.create_order((sku, 1)))["id"] for _ in range(5)]
        first = (await customer.get("/orders", limit=2)).json()
        second = (await customer.get("/orders", limit=2, cursor=first["next_cursor"])).json()
        third = (await customer.get("/orders", limit=2, cursor=second["next_cursor"])).json()
        ids = [order["id"] for page in (first, second, third) for order in page["items"]]
        assert ids == placed[::-1]
        assert third["next_cursor"] is None

    async def test_next_page_is_stable_when_orders_arrive_in_between(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        placed = [(await customer.create_order((sku, 1)))["id"] for _ in range(4)]
        first = (await customer.get("/orders", limit=2)).json()
        await customer.create_order((sku, 1))
        second = (await customer.get("/orders", limit=2, cursor=first["next_cursor"])).json()
        assert [order["id"] for order in second["items"]] == [placed[1], placed[0]]

    async def test_pages_are_complete_when_orders_share_a_timestamp(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        placed = {(await customer.create_order((sku, 1)))["id"] for _ in range(4)}
        await shop.database.execute("UPDATE customer_order SET created_at = $1", datetime.now(UTC))
        first = (await customer.get("/orders", limit=3)).json()
        second = (await customer.get("/orders", limit=3, cursor=first["next_cursor"])).json()
        assert {order["id"] for order in first["items"] + second["items"]} == placed

    async def test_list_is_filtered_by_status(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        placed, cancelled = await customer.create_order((sku, 1)), await customer.create_order((sku, 1))
        await customer.cancel(cancelled["id"])
        by_status = {
            status: [order["id"] for order in (await customer.get("/orders", status=status)).json()["items"]]
            for status in ("placed", "cancelled", "shipped")
        }
        assert by_status == {"placed": [placed["id"]], "cancelled": [cancelled["id"]], "shipped": []}

    async def test_list_has_only_the_callers_orders(self, shop: Shop) -> None:
        sku = await shop.create_product()
        await shop.client().create_order((sku, 1))
        assert (await shop.client().get("/orders")).json() == {"items": [], "next_cursor": None}
        assert (await shop.client(role="admin").get("/orders")).json()["items"] == []

    async def test_recent_returns_the_first_page_as_a_bare_list(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        for _ in range(3):
            await customer.create_order((sku, 1))
        first = (await customer.get("/orders", limit=2)).json()
        assert (await customer.get("/orders/recent", limit=2)).json() == first["items"]
        assert (await shop.client().get("/orders/recent")).json() == []

    async def test_recent_skips_orders_when_an_offset_is_given(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        placed = [(await customer.create_order((sku, 1)))["id"] for _ in range(5)]
        rest = (await customer.get("/orders/recent", limit=2, offset=3)).json()
        assert [order["id"] for order in rest] == [placed[1], placed[0]]
        assert (await customer.get("/orders/recent", offset=5)).json() == []
        rejected = await customer.get("/orders/recent", offset=1001)
        assert (rejected.status_code, error_fields(rejected)) == (422, ["offset"])

    async def test_list_executes_two_statements_for_any_number_of_orders(self, shop: Shop, queries: Queries) -> None:
        skus = [await shop.create_product() for _ in range(3)]
        one_order, fifty_orders = shop.client(), shop.client()
        await one_order.create_order((skus[0], 1))
        for _ in range(50):
            await fifty_orders.create_order(*((sku, 1) for sku in skus))
        assert len((await one_order.get("/orders", limit=50)).json()["items"]) == 1
        assert len((await fifty_orders.get("/orders", limit=50)).json()["items"]) == 50
        assert await queries.count(lambda: one_order.get("/orders", limit=50)) == 2
        assert await queries.count(lambda: fifty_orders.get("/orders", limit=50)) == 2

    @pytest.mark.parametrize(
        "cursor",
        [
            "nonsense",
            encode_cursor("yesterday", uuid4()),
            encode_cursor(datetime.now(UTC), "x"),
            encode_cursor("0001-01-01T00:00:00+23:59", uuid4()),
            *(
                encode_cursor(f"{moment}+00:00", uuid4())
                for moment in ("0001-01-01T00:00:00", "1999-12-31T23:59:59", "2100-01-01T00:00:00")
            ),
            encode_cursor("a"),
        ],
        ids=["nonsense", "no time", "no id", "before year 1", "year 1", "year 1999", "year 2100", "of another list"],
    )
    async def test_cursor_is_rejected_when_it_is_invalid(self, shop: Shop, cursor: str) -> None:
        rejected = await shop.client().get("/orders", cursor=cursor)
        assert rejected.status_code == 400
        assert error_fields(rejected) == ["cursor"]

    async def test_status_is_rejected_when_it_is_unknown(self, shop: Shop) -> None:
        rejected = await shop.client().get("/orders", status="lost")
        assert (rejected.status_code, error_fields(rejected)) == (422, ["status"])


class TestReadOrder:
    async def test_order_is_visible_to_its_owner_and_admins_only(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        order = await customer.create_order((sku, 1))
        path = f"/orders/{order['id']}"
        assert (await customer.get(path)).json() == order
        assert (await shop.client(role="admin").get(path)).json() == order
        other_customer = await shop.client().get(path)
        assert other_customer.status_code == 404
        assert other_customer.json()["type"].endswith("/order-not-found")

    async def test_order_is_not_found_when_its_id_is_unknown(self, shop: Shop) -> None:
        assert (await shop.client().get(f"/orders/{uuid4()}")).status_code == 404
