import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from services.orders.tests.factories import Shop, fields

from testkit.waiting import eventually


class TestPlaceOrder:
    async def test_answers_with_the_order_and_where_it_is(self, shop: Shop) -> None:
        mug, bag = await shop.product(price=1250), await shop.product(price=3000)
        customer = shop.caller()
        response = await customer.place((mug, 2), (bag, 1))
        order = response.json()
        assert response.status_code == 201
        assert response.headers["Location"] == f"/orders/{order['id']}"
        assert "Idempotency-Replayed" not in response.headers
        assert UUID(order["user_id"]) == customer.id
        assert (order["status"], order["total_cents"], order["currency"]) == ("placed", 5500, "EUR")
        assert order["items"] == [
            {"sku": mug, "name": mug, "quantity": 2, "unit_price_cents": 1250},
            {"sku": bag, "name": bag, "quantity": 1, "unit_price_cents": 3000},
        ]
        assert abs(datetime.now(UTC) - datetime.fromisoformat(order["created_at"])).total_seconds() < 60
        assert (await customer.get(f"/orders/{order['id']}")).json() == order

    async def test_reserves_stock(self, shop: Shop) -> None:
        sku = await shop.product(stock=10)
        await shop.caller().placed((sku, 4))
        assert await shop.available(sku) == 6
        assert await shop.shelf(sku) == (10, 4, 0)

    async def test_adds_up_items_of_one_product(self, shop: Shop) -> None:
        mug, bag = await shop.product(stock=5, price=100), await shop.product()
        order = await shop.caller().placed((mug, 2), (bag, 1), (mug, 3))
        assert [(item["sku"], item["quantity"]) for item in order["items"]] == [(mug, 5), (bag, 1)]
        assert await shop.available(mug) == 0

    async def test_keeps_the_price_of_the_moment(self, shop: Shop) -> None:
        sku = await shop.product(price=100)
        customer = shop.caller()
        order = await customer.placed((sku, 1))
        await shop.database.execute("UPDATE product SET unit_price_cents = 999 WHERE sku = $1", sku)
        assert (await customer.get(f"/orders/{order['id']}")).json()["total_cents"] == 100


class TestOutOfStock:
    async def test_says_which_and_reserves_nothing(self, shop: Shop) -> None:
        plenty, scarce = await shop.product(stock=50), await shop.product(stock=2)
        refused = await shop.caller().place((plenty, 1), (scarce, 3))
        assert refused.status_code == 409
        assert refused.json()["type"].endswith("/out-of-stock")
        assert refused.json()["errors"] == [{"field": "items.1.sku", "message": f"2 of {scarce} are available"}]
        assert await shop.shelf(plenty) == (50, 0, 0)
        assert await shop.database.fetchval("SELECT count(*) FROM outbox") == 0

    async def test_counts_the_sum_over_items(self, shop: Shop) -> None:
        sku = await shop.product(stock=5)
        assert (await shop.caller().place((sku, 3), (sku, 3))).status_code == 409

    async def test_the_last_one_can_be_had(self, shop: Shop) -> None:
        sku = await shop.product(stock=1)
        assert (await shop.caller().place((sku, 1))).status_code == 201
        assert (await shop.caller().place((sku, 1))).status_code == 409


class TestWaitingForStock:
    """An order that waits for another's lock decides by what it finds then, not by what it saw before."""

    @pytest.mark.parametrize(("before", "meanwhile", "status"), [(1, 0, 201), (0, 1, 409)])
    async def test_decides_by_what_is_there_at_last(self, shop: Shop, before: int, meanwhile: int, status: int) -> None:
        sku = await shop.product(stock=1)
        reserve = "UPDATE product SET reserved = $2 WHERE sku = $1"
        await shop.database.execute(reserve, sku, before)
        async with shop.database.acquire() as other, other.transaction():
            await other.execute(reserve, sku, meanwhile)
            waiting = asyncio.create_task(shop.caller().place((sku, 1)))
            await eventually(shop.somebody_waits)
        assert (await waiting).status_code == status
        assert await shop.shelf(sku) == (1, 1, 0)


class TestUnknownProduct:
    async def test_names_the_field_and_reserves_nothing(self, shop: Shop) -> None:
        sku = await shop.product()
        refused = await shop.caller().place(("NO-SUCH", 1), (sku, 1), ("NOR-THIS", 1))
        assert refused.status_code == 422
        assert fields(refused) == ["items.0.sku", "items.2.sku"]
        assert await shop.available(sku) == 100
