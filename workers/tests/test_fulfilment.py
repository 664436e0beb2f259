import pytest

from testkit.spans import Spans
from testkit.waiting import eventually

from .factories import append_event, fulfilment, order_data, order_event
from .fakes import add_user, problem
from .harness import Harness


class TestFulfilOrder:
    async def test_order_is_packed_and_shipped_after_a_delay(self, harness: Harness) -> None:
        data = order_data()
        add_user(harness.users, data["user_id"])
        async with harness.worker(fulfil_step_seconds="0.5"):
            await append_event(harness.redis, order_event(data=data))
            await harness.wait_until_done(3)
        assert harness.orders.calls == [(data["order_id"], "pack"), (data["order_id"], "ship")]
        packed_at, shipped_at = harness.orders.called_at
        assert shipped_at - packed_at > 0.35

    @pytest.mark.parametrize(("status", "slug"), [(404, "order-not-found"), (409, "order-state")])
    async def test_fulfilment_ends_when_the_order_is_cancelled_or_deleted(
        self, harness: Harness, status: int, slug: str
    ) -> None:
        harness.orders.error_response = problem(status, slug)
        async with harness.worker():
            await harness.add(fulfilment())
            await harness.wait_until_done(1)
        assert [step for _, step in harness.orders.calls] == ["pack"]

    async def test_job_is_retried_when_a_404_is_not_about_the_order(self, harness: Harness) -> None:
        harness.orders.error_response = problem(404, "not-found")  # the route is not deployed yet
        async with harness.worker():
            await harness.add(fulfilment())
            await harness.wait_until(lambda jobs: "returned 404" in (jobs[0].last_error or ""))
            harness.orders.error_response = None
            await harness.wait_until_done(2)
        assert {step for _, step in harness.orders.calls} == {"pack", "ship"}

    async def test_worker_runs_other_jobs_when_shipping_is_due_later(self, harness: Harness) -> None:
        data = order_data()
        add_user(harness.users, data["user_id"])
        async with harness.worker(fulfil_step_seconds="600", max_jobs="1"):
            for number in range(3):
                await append_event(
                    harness.redis, order_event(data=order_data(user_id=data["user_id"], total_cents=number))
                )
            await eventually(lambda: len(harness.mailbox.messages) == 3)
        assert harness.orders.calls == []

    async def test_span_of_shipping_is_a_child_of_packing(self, harness: Harness, spans: Spans) -> None:
        async with harness.worker():
            await harness.add(fulfilment())
            await eventually(lambda: len(spans.named("run fulfil_order")) == 2)
        pack, shipping = sorted(spans.named("run fulfil_order"), key=lambda span: span.start_time or 0)
        assert shipping.parent is not None
        assert pack.context is not None
        assert shipping.parent.span_id == pack.context.span_id
