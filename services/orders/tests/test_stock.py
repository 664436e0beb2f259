"""Random sequences of orders and moves: no unit is ever sold twice, lost, or returned twice."""

import asyncio
from collections import Counter
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.orders.tests.factories import Shop

from orders.states import CANCEL, PACK, SHIP, OrderStatus

MOVES = {"cancel": CANCEL, "pack": PACK, "ship": SHIP}

Basket = list[tuple[int, int]]
"""Products by number, and how many of each; a product may come twice."""

baskets = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=4)
moves = st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 50))
steps = st.tuples(st.just("place"), baskets) | moves
stocks = st.lists(st.integers(0, 9), min_size=3, max_size=3)

few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Floor:
    """Three products and the orders for them, all named by number."""

    def __init__(self, shop: Shop, skus: list[str]) -> None:
        self.shop, self.skus = shop, skus
        self.customer = shop.caller()
        self.orders: list[str] = []

    async def place(self, basket: Basket) -> httpx.Response:
        answer = await self.customer.place(*((self.skus[number], quantity) for number, quantity in basket))
        if answer.status_code == 201:
            self.orders.append(answer.json()["id"])
        return answer

    async def make(self, move: str, number: int) -> httpx.Response:
        order_id = self.orders[number % len(self.orders)]
        if move == "cancel":
            return await self.customer.cancel(order_id)
        return await self.shop.warehouse.move(order_id, move)

    async def take(self, step: tuple[str, Any]) -> int:
        """The status of the answer; 0 for a move where there is no order yet."""
        kind, what = step
        if kind == "place":
            return (await self.place(what)).status_code
        return (await self.make(kind, what)).status_code if self.orders else 0


class Ledger:
    """The same on paper: what each answer has to be, and what must be left."""

    def __init__(self, stocks: list[int]) -> None:
        self.available = dict(enumerate(stocks))
        self.orders: list[tuple[Counter[int], OrderStatus]] = []

    def take(self, step: tuple[str, Any]) -> int:
        kind, what = step
        if kind == "place":
            return self._place(what)
        return self._make(kind, what % len(self.orders)) if self.orders else 0

    def _place(self, basket: Basket) -> int:
        wanted: Counter[int] = Counter()
        for number, quantity in basket:
            wanted[number] += quantity
        if any(quantity > self.available[number] for number, quantity in wanted.items()):
            return 409
        self._put_back(wanted, sign=-1)
        self.orders.append((wanted, OrderStatus.PLACED))
        return 201

    def _make(self, kind: str, number: int) -> int:
        move, (wanted, status) = MOVES[kind], self.orders[number]
        if status is move.source:
            self.orders[number] = (wanted, move.target)
            self._put_back(wanted, sign=1 if move is CANCEL else 0)
        return 200 if status is move.source or status in move.behind else 409

    def _put_back(self, wanted: Counter[int], *, sign: int) -> None:
        for number, quantity in wanted.items():
            self.available[number] += sign * quantity


async def open_floor(shop: Shop, stocks: list[int]) -> Floor:
    return Floor(shop, [await shop.product(stock=stock) for stock in stocks])


class TestOneAfterTheOther:
    @given(stocks=stocks, steps=st.lists(steps, max_size=15))
    @few
    async def test_every_answer_is_the_predicted_one(self, shop: Shop, stocks: list[int], steps: list[Any]) -> None:
        floor, ledger = await open_floor(shop, stocks), Ledger(stocks)
        for step in steps:
            assert await floor.take(step) == ledger.take(step)
        assert [await shop.available(sku) for sku in floor.skus] == list(ledger.available.values())


class TestAllAtOnce:
    @given(stocks=stocks, rounds=st.lists(st.lists(steps, min_size=2, max_size=8), max_size=4))
    @few
    async def test_no_unit_is_sold_twice_or_lost(self, shop: Shop, stocks: list[int], rounds: list[Any]) -> None:
        floor = await open_floor(shop, stocks)
        for round_ in rounds:
            statuses = await asyncio.gather(*(floor.take(step) for step in round_))
            assert set(statuses) <= {0, 200, 201, 409}
            assert await shop.stock_violations() == []
        for sku, before in zip(floor.skus, stocks, strict=True):
            stock, _, shipped = await shop.shelf(sku)
            assert stock + shipped == before
        for order_id in floor.orders:
            await self._told_its_story_once(shop, order_id)

    async def _told_its_story_once(self, shop: Shop, order_id: str) -> None:
        told = [row["type"].split(".")[2] for row in await shop.events_of(order_id)]
        status = await shop.database.fetchval("SELECT status FROM customer_order WHERE id = $1", order_id)
        stories = (["placed", "cancelled"], ["placed", "packed", "shipped"])
        assert told[-1] == status
        assert any(told == story[: len(told)] for story in stories)


class TestKeys:
    @given(stock=st.integers(0, 6), keys=st.lists(st.sampled_from("abcde"), min_size=1, max_size=12))
    @few
    async def test_one_order_per_key(self, shop: Shop, stock: int, keys: list[str]) -> None:
        [sku] = (await open_floor(shop, [stock])).skus
        customer = shop.caller()
        answers = await asyncio.gather(*(customer.place((sku, 1), key=key) for key in keys))
        orders = {(key, answer.content) for key, answer in zip(keys, answers, strict=True) if answer.is_success}
        assert len({key for key, _ in orders}) == len(orders) == min(stock, len(set(keys)))
        assert await shop.available(sku) == stock - len(orders)
