"""Placing orders: the response, the reserved stock, and orders that are rejected."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from services.orders.tests.factories import Shop, error_fields

from testkit.queries import Queries
from testkit.spans import Spans
from testkit.waiting import eventually


class TestPlaceOrder:
    async def test_place_returns_the_order_and_its_location(self, shop: Shop) -> None:
        mug, bag = await shop.create_product(price=1250), await shop.create_product(price=3000)
        customer = shop.client()
        response = await customer.place_order((mug, 2), (bag, 1))
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

    async def test_place_reserves_stock(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=10)
        await shop.client().create_order((sku, 4))
        assert await shop.available(sku) == 6
        assert await shop.stock_counts(sku) == (10, 4, 0)

    async def test_quantities_are_added_when_items_share_a_product(self, shop: Shop) -> None:
        mug, bag = await shop.create_product(stock=5, price=100), await shop.create_product()
        order = await shop.client().create_order((mug, 2), (bag, 1), (mug, 3))
        assert [(item["sku"], item["quantity"]) for item in order["items"]] == [(mug, 5), (bag, 1)]
        assert await shop.available(mug) == 0

    async def test_order_keeps_its_price_when_the_product_price_changes(self, shop: Shop) -> None:
        sku = await shop.create_product(price=100)
        customer = shop.client()
        order = await customer.create_order((sku, 1))
        await shop.database.execute("UPDATE product SET unit_price_cents = 999 WHERE sku = $1", sku)
        assert (await customer.get(f"/orders/{order['id']}")).json()["total_cents"] == 100

    async def test_place_executes_four_statements_for_any_number_of_items(self, shop: Shop, queries: Queries) -> None:
        customer = shop.client()
        lines = [(await shop.create_product(), 1) for _ in range(10)]
        assert await queries.count(lambda: customer.place_order(lines[0])) == 4
        assert await queries.count(lambda: customer.place_order(*lines)) == 4

    async def test_reservation_has_a_span_below_the_request(self, shop: Shop, spans: Spans) -> None:
        sku = await shop.create_product()
        spans.clear()
        await shop.client().create_order((sku, 1))
        assert spans.one("UPDATE product").parent == spans.one("POST /orders").context


class TestOutOfStock:
    async def test_error_names_the_item_and_nothing_is_reserved_when_it_is_out_of_stock(self, shop: Shop) -> None:
        plenty, scarce = await shop.create_product(stock=50), await shop.create_product(stock=2)
        rejected = await shop.client().place_order((plenty, 1), (scarce, 3))
        assert rejected.status_code == 409
        assert rejected.json()["type"].endswith("/out-of-stock")
        assert rejected.json()["errors"] == [{"field": "items.1.sku", "message": f"2 of {scarce} are available"}]
        assert await shop.stock_counts(plenty) == (50, 0, 0)
        assert await shop.database.fetchval("SELECT count(*) FROM outbox") == 0

    async def test_order_is_out_of_stock_when_the_sum_of_its_items_exceeds_the_stock(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=5)
        assert (await shop.client().place_order((sku, 3), (sku, 3))).status_code == 409

    async def test_last_unit_is_sold_once(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=1)
        assert (await shop.client().place_order((sku, 1))).status_code == 201
        assert (await shop.client().place_order((sku, 1))).status_code == 409


class TestWaitingForStock:
    """An order that waits for a lock uses the stock after the wait, not its snapshot."""

    @pytest.mark.parametrize(
        ("reserved_before", "reserved_during", "status"),
        [(1, 0, 201), (0, 1, 409)],
        ids=["the unit becomes available", "the unit becomes reserved"],
    )
    async def test_order_uses_the_committed_stock_when_it_waited_for_a_lock(
        self, shop: Shop, reserved_before: int, reserved_during: int, status: int
    ) -> None:
        sku = await shop.create_product(stock=1)
        reserve = "UPDATE product SET reserved = $2 WHERE sku = $1"
        await shop.database.execute(reserve, sku, reserved_before)
        async with shop.database.acquire() as other, other.transaction():
            await other.execute(reserve, sku, reserved_during)
            waiting = asyncio.create_task(shop.client().place_order((sku, 1)))
            await eventually(shop.has_lock_waiter)
        assert (await waiting).status_code == status
        assert await shop.stock_counts(sku) == (1, 1, 0)


class TestUnknownProduct:
    async def test_error_names_the_fields_and_nothing_is_reserved_when_products_are_unknown(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=10)
        rejected = await shop.client().place_order(("UNKNOWN-1", 1), (sku, 1), ("UNKNOWN-2", 1))
        assert rejected.status_code == 422
        assert error_fields(rejected) == ["items.0.sku", "items.2.sku"]
        assert await shop.available(sku) == 10
