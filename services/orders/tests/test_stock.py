"""Random sequences of orders and transitions: no unit is sold twice, lost or released twice.

Concurrent requests with one idempotency key create at most one order.
"""

import asyncio
from collections import Counter
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.orders.tests.factories import Shop

from orders.states import CANCEL, PACK, SHIP, OrderStatus

TRANSITIONS = {"cancel": CANCEL, "pack": PACK, "ship": SHIP}

Basket = list[tuple[int, int]]
"""Pairs of a product number and a quantity. A product can appear twice."""

baskets = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=4)
transitions = st.tuples(st.sampled_from(sorted(TRANSITIONS)), st.integers(0, 50))
steps = st.tuples(st.just("place"), baskets) | transitions
stocks = st.lists(st.integers(0, 9), min_size=3, max_size=3)

FEW_EXAMPLES = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class RealShop:
    """Products of the service and their orders, identified by index."""

    def __init__(self, shop: Shop, skus: list[str]) -> None:
        self.shop, self.skus = shop, skus
        self.customer = shop.client()
        self.orders: list[str] = []

    async def place_order(self, basket: Basket) -> httpx.Response:
        response = await self.customer.place_order(*((self.skus[number], quantity) for number, quantity in basket))
        if response.status_code == 201:
            self.orders.append(response.json()["id"])
        return response

    async def apply_transition(self, name: str, number: int) -> httpx.Response:
        order_id = self.orders[number % len(self.orders)]
        if name == "cancel":
            return await self.customer.cancel(order_id)
        return await self.shop.worker.apply_transition(order_id, name)

    async def run_step(self, step: tuple[str, Any]) -> int:
        """Run a step and return the status of the response, or 0 if there is no order for a transition."""
        action, argument = step
        if action == "place":
            return (await self.place_order(argument)).status_code
        return (await self.apply_transition(action, argument)).status_code if self.orders else 0


class ModelShop:
    """A model of the shop: the expected status of each step and the expected stock."""

    def __init__(self, stocks: list[int]) -> None:
        self.available = dict(enumerate(stocks))
        self.orders: list[tuple[Counter[int], OrderStatus]] = []

    def run_step(self, step: tuple[str, Any]) -> int:
        action, argument = step
        if action == "place":
            return self._place(argument)
        return self._apply_transition(action, argument % len(self.orders)) if self.orders else 0

    def _place(self, basket: Basket) -> int:
        quantities: Counter[int] = Counter()
        for number, quantity in basket:
            quantities[number] += quantity
        if any(quantity > self.available[number] for number, quantity in quantities.items()):
            return 409
        self._change_available(quantities, sign=-1)
        self.orders.append((quantities, OrderStatus.PLACED))
        return 201

    def _apply_transition(self, name: str, number: int) -> int:
        transition = TRANSITIONS[name]
        quantities, status = self.orders[number]
        if status is transition.source:
            self.orders[number] = (quantities, transition.target)
            self._change_available(quantities, sign=1 if transition is CANCEL else 0)
        return 200 if status is transition.source or status in transition.applied_in else 409

    def _change_available(self, quantities: Counter[int], *, sign: int) -> None:
        for number, quantity in quantities.items():
            self.available[number] += sign * quantity


async def create_real_shop(shop: Shop, stocks: list[int]) -> RealShop:
    return RealShop(shop, [await shop.create_product(stock=stock) for stock in stocks])


class TestSequential:
    @given(stocks=stocks, steps=st.lists(steps, max_size=15))
    @FEW_EXAMPLES
    async def test_every_response_matches_the_model(self, shop: Shop, stocks: list[int], steps: list[Any]) -> None:
        real, model = await create_real_shop(shop, stocks), ModelShop(stocks)
        for step in steps:
            assert await real.run_step(step) == model.run_step(step)
        assert [await shop.available(sku) for sku in real.skus] == list(model.available.values())


class TestConcurrent:
    @given(stocks=stocks, batches=st.lists(st.lists(steps, min_size=2, max_size=8), max_size=4))
    @FEW_EXAMPLES
    async def test_no_unit_is_sold_twice_or_lost(self, shop: Shop, stocks: list[int], batches: list[Any]) -> None:
        real = await create_real_shop(shop, stocks)
        for batch in batches:
            statuses = await asyncio.gather(*(real.run_step(step) for step in batch))
            assert set(statuses) <= {0, 200, 201, 409}
            assert await shop.stock_violations() == []
        for sku, initial_stock in zip(real.skus, stocks, strict=True):
            stock, _, shipped = await shop.stock_counts(sku)
            assert stock + shipped == initial_stock
        for order_id in real.orders:
            await self._assert_events_in_order(shop, order_id)

    async def _assert_events_in_order(self, shop: Shop, order_id: str) -> None:
        names = await shop.event_names(order_id)
        status = await shop.database.fetchval("SELECT status FROM customer_order WHERE id = $1", order_id)
        histories = (["placed", "cancelled"], ["placed", "packed", "shipped"])
        assert names[-1] == status
        assert any(names == history[: len(names)] for history in histories)


class TestKeys:
    @given(stock=st.integers(0, 6), keys=st.lists(st.sampled_from("abcde"), min_size=1, max_size=12))
    @FEW_EXAMPLES
    async def test_each_key_places_at_most_one_order(self, shop: Shop, stock: int, keys: list[str]) -> None:
        sku, customer = await shop.create_product(stock=stock), shop.client()
        responses = await asyncio.gather(*(customer.place_order((sku, 1), key=key) for key in keys))
        orders = {(key, response.content) for key, response in zip(keys, responses, strict=True) if response.is_success}
        assert len(orders) == len({key for key, _ in orders})
        assert len(orders) == min(stock, len(set(keys)))
        assert await shop.available(sku) == stock - len(orders)
