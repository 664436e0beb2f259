from datetime import UTC, datetime
from uuid import uuid4

import pytest
from services.orders.tests.factories import Shop, fields, statements

from shared.pages import encode_cursor
from testkit.spans import Spans


class TestListOrders:
    async def test_newest_first_in_pages(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        placed = [(await customer.placed((sku, 1)))["id"] for _ in range(5)]
        first = (await customer.get("/orders", limit=2)).json()
        second = (await customer.get("/orders", limit=2, cursor=first["next_cursor"])).json()
        third = (await customer.get("/orders", limit=2, cursor=second["next_cursor"])).json()
        ids = [order["id"] for page in (first, second, third) for order in page["items"]]
        assert ids == placed[::-1]
        assert third["next_cursor"] is None

    async def test_orders_that_arrive_meanwhile_shift_nothing(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        placed = [(await customer.placed((sku, 1)))["id"] for _ in range(4)]
        first = (await customer.get("/orders", limit=2)).json()
        await customer.placed((sku, 1))
        second = (await customer.get("/orders", limit=2, cursor=first["next_cursor"])).json()
        assert [order["id"] for order in second["items"]] == placed[1::-1]

    async def test_orders_of_one_moment_are_all_seen(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        placed = {(await customer.placed((sku, 1)))["id"] for _ in range(4)}
        await shop.database.execute("UPDATE customer_order SET created_at = $1", datetime.now(UTC))
        first = (await customer.get("/orders", limit=3)).json()
        second = (await customer.get("/orders", limit=3, cursor=first["next_cursor"])).json()
        assert {order["id"] for order in first["items"] + second["items"]} == placed

    async def test_filters_by_status(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        kept, dropped = await customer.placed((sku, 1)), await customer.placed((sku, 1))
        await customer.cancel(dropped["id"])
        by_status = {
            status: [order["id"] for order in (await customer.get("/orders", status=status)).json()["items"]]
            for status in ("placed", "cancelled", "shipped")
        }
        assert by_status == {"placed": [kept["id"]], "cancelled": [dropped["id"]], "shipped": []}

    async def test_shows_nobody_elses(self, shop: Shop) -> None:
        sku = await shop.product()
        await shop.caller().placed((sku, 1))
        assert (await shop.caller().get("/orders")).json() == {"items": [], "next_cursor": None}
        assert (await shop.caller(role="admin").get("/orders")).json()["items"] == []

    async def test_the_recent_ones_are_the_first_page_as_a_bare_list(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        for _ in range(3):
            await customer.placed((sku, 1))
        first = (await customer.get("/orders", limit=2)).json()
        assert (await customer.get("/orders/recent", limit=2)).json() == first["items"]
        assert (await shop.caller().get("/orders/recent")).json() == []

    async def test_the_recent_ones_after_some_are_where_the_page_goes_on(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        placed = [(await customer.placed((sku, 1)))["id"] for _ in range(5)]
        rest = (await customer.get("/orders/recent", limit=2, offset=3)).json()
        assert [order["id"] for order in rest] == placed[1::-1]
        assert (await customer.get("/orders/recent", offset=5)).json() == []
        refused = await customer.get("/orders/recent", offset=1001)
        assert (refused.status_code, fields(refused)) == (422, ["offset"])

    async def test_costs_as_many_statements_for_fifty_orders_as_for_one(self, shop: Shop, spans: Spans) -> None:
        skus = [await shop.product() for _ in range(3)]
        few, many = shop.caller(), shop.caller()
        await few.placed((skus[0], 1))
        for _ in range(50):
            await many.placed(*((sku, 1) for sku in skus))
        spans.clear()
        assert len((await few.get("/orders", limit=50)).json()["items"]) == 1
        for_one = statements(spans)
        spans.clear()
        assert len((await many.get("/orders", limit=50)).json()["items"]) == 50
        assert statements(spans) == for_one == 2

    @pytest.mark.parametrize(
        "cursor",
        [
            "nonsense",
            encode_cursor("yesterday", uuid4()),
            encode_cursor(datetime.now(UTC), "x"),
            encode_cursor("0001-01-01T00:00:00+23:59", uuid4()),
            encode_cursor("a"),
        ],
        ids=["nonsense", "no time", "no id", "before the first year", "of another list"],
    )
    async def test_refuses_a_cursor_it_never_gave(self, shop: Shop, cursor: str) -> None:
        refused = await shop.caller().get("/orders", cursor=cursor)
        assert refused.status_code == 400
        assert fields(refused) == ["cursor"]

    async def test_refuses_an_unknown_status(self, shop: Shop) -> None:
        refused = await shop.caller().get("/orders", status="lost")
        assert (refused.status_code, fields(refused)) == (422, ["status"])


class TestReadOrder:
    async def test_owner_and_admin_see_it_and_nobody_else(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        order = await customer.placed((sku, 1))
        path = f"/orders/{order['id']}"
        assert (await customer.get(path)).json() == order
        assert (await shop.caller(role="admin").get(path)).json() == order
        stranger = await shop.caller().get(path)
        assert stranger.status_code == 404
        assert stranger.json()["type"].endswith("/order-not-found")

    async def test_missing_one_looks_like_anothers(self, shop: Shop) -> None:
        assert (await shop.caller().get(f"/orders/{uuid4()}")).status_code == 404


class TestPlaceOrder:
    async def test_costs_four_statements_however_long_the_order(self, shop: Shop, spans: Spans) -> None:
        skus = [await shop.product() for _ in range(10)]
        spans.clear()
        await shop.caller().placed(*((sku, 1) for sku in skus))
        assert statements(spans) == 4
