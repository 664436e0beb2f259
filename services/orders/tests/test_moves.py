import asyncio
from uuid import uuid4

import pytest
from services.orders.tests.factories import Shop


class TestCancel:
    async def test_returns_the_stock(self, shop: Shop) -> None:
        sku, customer = await shop.product(stock=10), shop.caller()
        order = await customer.placed((sku, 4))
        cancelled = await customer.cancel(order["id"])
        assert (cancelled.status_code, cancelled.json()) == (200, order | {"status": "cancelled"})
        assert await shop.shelf(sku) == (10, 0, 0)

    async def test_repeated_changes_nothing(self, shop: Shop) -> None:
        sku, customer = await shop.product(stock=10), shop.caller()
        order = await customer.placed((sku, 4))
        first, second = await customer.cancel(order["id"]), await customer.cancel(order["id"])
        assert (second.status_code, second.content) == (200, first.content)
        assert await shop.shelf(sku) == (10, 0, 0)
        assert len(await shop.events_of(order["id"])) == 2

    async def test_twelve_at_once_return_the_stock_once(self, shop: Shop) -> None:
        sku, customer = await shop.product(stock=10), shop.caller()
        order = await customer.placed((sku, 4))
        answers = await asyncio.gather(*(customer.cancel(order["id"]) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {200}
        assert await shop.shelf(sku) == (10, 0, 0)
        assert len(await shop.events_of(order["id"])) == 2

    @pytest.mark.parametrize("moves", [["pack"], ["pack", "ship"]])
    async def test_is_too_late_once_packed(self, shop: Shop, moves: list[str]) -> None:
        sku, customer = await shop.product(), shop.caller()
        order = await customer.placed((sku, 1))
        for move in moves:
            await shop.warehouse.move(order["id"], move)
        refused = await customer.cancel(order["id"])
        assert refused.status_code == 409
        assert refused.json()["type"].endswith("/order-state")
        assert await shop.stock_violations() == []

    async def test_is_for_the_owner_and_admins(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        order = await customer.placed((sku, 1))
        assert (await shop.caller().cancel(order["id"])).status_code == 404
        assert (await shop.caller(role="admin").cancel(order["id"])).json()["status"] == "cancelled"


class TestPackAndShip:
    async def test_units_leave_the_warehouse_when_shipped(self, shop: Shop) -> None:
        sku, customer = await shop.product(stock=10), shop.caller()
        order = await customer.placed((sku, 4))
        packed = await shop.warehouse.move(order["id"], "pack")
        assert (packed.status_code, packed.json()) == (200, order | {"status": "packed"})
        assert await shop.shelf(sku) == (10, 4, 0)
        shipped = await shop.warehouse.move(order["id"], "ship")
        assert (shipped.status_code, shipped.json()) == (200, order | {"status": "shipped"})
        assert await shop.shelf(sku) == (6, 0, 4)
        assert await shop.available(sku) == 6

    async def test_repeated_changes_nothing(self, shop: Shop) -> None:
        sku, customer = await shop.product(stock=10), shop.caller()
        order = await customer.placed((sku, 4))
        answers = [await shop.warehouse.move(order["id"], move) for move in ("pack", "pack", "ship", "ship", "pack")]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert [answer.json()["status"] for answer in answers] == ["packed", "packed", "shipped", "shipped", "shipped"]
        assert await shop.shelf(sku) == (6, 0, 4)
        assert len(await shop.events_of(order["id"])) == 3

    async def test_refuses_what_the_state_does_not_allow(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        placed, cancelled = await customer.placed((sku, 1)), await customer.placed((sku, 1))
        await customer.cancel(cancelled["id"])
        assert (await shop.warehouse.move(placed["id"], "ship")).status_code == 409
        assert (await shop.warehouse.move(cancelled["id"], "pack")).status_code == 409
        assert (await shop.warehouse.move(cancelled["id"], "ship")).status_code == 409

    async def test_is_for_services_only(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        order = await customer.placed((sku, 1))
        for caller in (customer, shop.caller(role="admin")):
            assert (await caller.move(order["id"], "pack")).status_code == 403

    async def test_missing_order_is_not_found(self, shop: Shop) -> None:
        assert (await shop.warehouse.move(str(uuid4()), "pack")).status_code == 404


class TestRaces:
    async def test_either_the_cancel_wins_or_the_pack(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        orders = [await customer.placed((sku, 1)) for _ in range(8)]
        answers = await asyncio.gather(
            *(customer.cancel(order["id"]) for order in orders),
            *(shop.warehouse.move(order["id"], "pack") for order in orders),
        )
        for cancel, pack in zip(answers[:8], answers[8:], strict=True):
            assert sorted([cancel.status_code, pack.status_code]) == [200, 409]
        assert await shop.stock_violations() == []

    async def test_orders_that_share_products_never_deadlock(self, shop: Shop) -> None:
        one, two = await shop.product(stock=1000), await shop.product(stock=1000)
        customer = shop.caller()
        answers = await asyncio.gather(
            *(customer.place((one, 1), (two, 1)) for _ in range(15)),
            *(customer.place((two, 1), (one, 1)) for _ in range(15)),
        )
        assert {answer.status_code for answer in answers} == {201}
        cancels = await asyncio.gather(
            *(customer.cancel(answer.json()["id"]) for answer in answers),
            *(customer.place((two, 1), (one, 1)) for _ in range(10)),
        )
        assert {answer.status_code for answer in cancels} == {200, 201}
        assert await shop.shelf(one) == await shop.shelf(two) == (1000, 10, 0)
