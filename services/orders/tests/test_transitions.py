"""Transitions of orders: cancelling, packing and shipping, repeated and concurrent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from services.orders.tests.factories import Shop, open_shop

from testkit.tokens import TokenIssuer


class TestCancel:
    async def test_cancel_releases_the_stock(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(stock=10), shop.client()
        order = await customer.create_order((sku, 4))
        cancelled = await customer.cancel(order["id"])
        assert (cancelled.status_code, cancelled.json()) == (200, order | {"status": "cancelled"})
        assert await shop.stock_counts(sku) == (10, 0, 0)

    async def test_cancel_changes_nothing_when_repeated(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(stock=10), shop.client()
        order = await customer.create_order((sku, 4))
        first, second = await customer.cancel(order["id"]), await customer.cancel(order["id"])
        assert (second.status_code, second.content) == (200, first.content)
        assert await shop.stock_counts(sku) == (10, 0, 0)
        assert await shop.event_names(order["id"]) == ["placed", "cancelled"]

    async def test_stock_is_released_once_when_cancels_are_concurrent(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(stock=10), shop.client()
        order = await customer.create_order((sku, 4))
        responses = await asyncio.gather(*(customer.cancel(order["id"]) for _ in range(12)))
        assert {response.status_code for response in responses} == {200}
        assert await shop.stock_counts(sku) == (10, 0, 0)
        assert await shop.event_names(order["id"]) == ["placed", "cancelled"]

    @pytest.mark.parametrize("transitions", [["pack"], ["pack", "ship"]])
    async def test_cancel_conflicts_when_the_order_is_packed(self, shop: Shop, transitions: list[str]) -> None:
        sku, customer = await shop.create_product(), shop.client()
        order = await customer.create_order((sku, 1))
        for transition in transitions:
            await shop.worker.apply_transition(order["id"], transition)
        rejected = await customer.cancel(order["id"])
        assert rejected.status_code == 409
        assert rejected.json()["type"].endswith("/order-state")
        assert await shop.stock_violations() == []

    async def test_cancel_is_not_found_when_the_caller_is_another_customer(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        order = await customer.create_order((sku, 1))
        assert (await shop.client().cancel(order["id"])).status_code == 404
        assert (await shop.client(role="admin").cancel(order["id"])).json()["status"] == "cancelled"


class TestPackAndShip:
    async def test_ship_removes_the_units_from_stock(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(stock=10), shop.client()
        order = await customer.create_order((sku, 4))
        packed = await shop.worker.apply_transition(order["id"], "pack")
        assert (packed.status_code, packed.json()) == (200, order | {"status": "packed"})
        assert await shop.stock_counts(sku) == (10, 4, 0)
        shipped = await shop.worker.apply_transition(order["id"], "ship")
        assert (shipped.status_code, shipped.json()) == (200, order | {"status": "shipped"})
        assert await shop.stock_counts(sku) == (6, 0, 4)
        assert await shop.available(sku) == 6

    async def test_transition_changes_nothing_when_repeated(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(stock=10), shop.client()
        order = await customer.create_order((sku, 4))
        responses = [
            await shop.worker.apply_transition(order["id"], transition)
            for transition in ("pack", "pack", "ship", "ship", "pack")
        ]
        assert [response.status_code for response in responses] == [200] * 5
        assert [response.json()["status"] for response in responses] == [
            "packed",
            "packed",
            "shipped",
            "shipped",
            "shipped",
        ]
        assert await shop.stock_counts(sku) == (6, 0, 4)
        assert await shop.event_names(order["id"]) == ["placed", "packed", "shipped"]

    async def test_transition_conflicts_when_the_state_does_not_allow_it(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        placed, cancelled = await customer.create_order((sku, 1)), await customer.create_order((sku, 1))
        await customer.cancel(cancelled["id"])
        assert (await shop.worker.apply_transition(placed["id"], "ship")).status_code == 409
        assert (await shop.worker.apply_transition(cancelled["id"], "pack")).status_code == 409
        assert (await shop.worker.apply_transition(cancelled["id"], "ship")).status_code == 409

    async def test_pack_is_forbidden_when_the_caller_is_not_a_service(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        order = await customer.create_order((sku, 1))
        for caller in (customer, shop.client(role="admin")):
            assert (await caller.apply_transition(order["id"], "pack")).status_code == 403

    async def test_pack_is_not_found_when_the_order_is_missing(self, shop: Shop) -> None:
        assert (await shop.worker.apply_transition(str(uuid4()), "pack")).status_code == 404


class TestRaces:
    async def test_one_transition_succeeds_when_cancel_and_pack_race(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        orders = [await customer.create_order((sku, 1)) for _ in range(8)]
        responses = await asyncio.gather(
            *(customer.cancel(order["id"]) for order in orders),
            *(shop.worker.apply_transition(order["id"], "pack") for order in orders),
        )
        for cancel, pack in zip(responses[: len(orders)], responses[len(orders) :], strict=True):
            assert sorted([cancel.status_code, pack.status_code]) == [200, 409]
        assert await shop.stock_violations() == []

    @pytest.fixture
    async def shop_with_many_connections(
        self, database: str, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path
    ) -> AsyncIterator[Shop]:
        """Run a service in which orders do not wait for connections, and a deadlock ends before the lock timeout."""
        async with open_shop(
            database=database,
            redis_url=redis_url,
            issuer=token_issuer,
            objects=tmp_path,
            database_lock_timeout_ms=10_000,
            database_pool_size=60,
            database_reserve=0,
        ) as shop:
            yield shop

    async def test_orders_do_not_deadlock_when_they_share_products(self, shop_with_many_connections: Shop) -> None:
        shop = shop_with_many_connections
        first, second = await shop.create_product(stock=1000), await shop.create_product(stock=1000)
        customer = shop.client()
        responses = await asyncio.gather(
            *(customer.place_order((first, 1), (second, 1)) for _ in range(15)),
            *(customer.place_order((second, 1), (first, 1)) for _ in range(15)),
        )
        assert {response.status_code for response in responses} == {201}
        cancels_and_orders = await asyncio.gather(
            *(customer.cancel(response.json()["id"]) for response in responses),
            *(customer.place_order((second, 1), (first, 1)) for _ in range(10)),
        )
        assert {response.status_code for response in cancels_and_orders} == {200, 201}
        assert await shop.stock_counts(first) == await shop.stock_counts(second) == (1000, 10, 0)
