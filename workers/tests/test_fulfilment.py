import pytest

from testkit.spans import Spans
from testkit.waiting import eventually

from .factories import fulfilment, order_data, order_event, ship
from .standins import person, problem
from .world import World


class TestFulfilOrder:
    async def test_packs_then_ships_a_step_apart(self, world: World) -> None:
        data = order_data()
        person(world.users, data["user_id"])
        async with world.worker(fulfil_step_seconds="0.5"):
            await ship(world.redis, order_event(data=data))
            await world.until_done(3)
        assert world.orders.calls == [(data["order_id"], "pack"), (data["order_id"], "ship")]
        packed_at, shipped_at = world.orders.called_at
        assert shipped_at - packed_at > 0.35

    @pytest.mark.parametrize(("status", "slug"), [(404, "order-not-found"), (409, "order-state")])
    async def test_cancelled_order_ends_it_with_nothing_done(self, world: World, status: int, slug: str) -> None:
        world.orders.refusal = problem(status, slug)
        async with world.worker():
            await world.add(fulfilment())
            await world.until_done(1)
        assert [step for _, step in world.orders.calls] == ["pack"]

    async def test_a_404_that_names_no_order_is_asked_again(self, world: World) -> None:
        world.orders.refusal = problem(404, "not-found")  # the route is not deployed yet
        async with world.worker():
            await world.add(fulfilment())
            await world.until(lambda jobs: "answered 404" in (jobs[0].last_error or ""))
            world.orders.refusal = None
            await world.until_done(2)
        assert {step for _, step in world.orders.calls} == {"pack", "ship"}

    async def test_waiting_holds_no_worker(self, world: World) -> None:
        data = order_data()
        person(world.users, data["user_id"])
        async with world.worker(fulfil_step_seconds="600", max_jobs="1"):
            for number in range(3):
                await ship(world.redis, order_event(data=order_data(user_id=data["user_id"], total_cents=number)))
            await eventually(lambda: len(world.mailbox.messages) == 3)
        assert world.orders.calls == []

    async def test_shipping_is_a_child_of_packing(self, world: World, spans: Spans) -> None:
        async with world.worker():
            await world.add(fulfilment())
            await eventually(lambda: len(spans.named("run fulfil_order")) == 2)
        pack, shipping = sorted(spans.named("run fulfil_order"), key=lambda span: span.start_time or 0)
        assert shipping.parent is not None
        assert pack.context is not None
        assert shipping.parent.span_id == pack.context.span_id
