from uuid import uuid4

import pytest

from testkit.spans import Spans
from testkit.waiting import eventually

from .factories import append_event, fulfilment, order_data, order_event, problem
from .fakes import add_user
from .harness import Harness


class TestFulfilOrder:
    async def test_order_is_packed_and_shipped_after_a_delay(self, harness: Harness) -> None:
        data = order_data()
        add_user(harness.users, data["user_id"])
        step_s, tolerance_s = 0.5, 0.15  # a job may be claimed slightly early
        async with harness.run_worker(fulfil_step_seconds=step_s):
            await append_event(harness.redis, order_event(data=data))
            await harness.wait_until_done(3)
        assert harness.orders.calls == [(data["order_id"], "pack"), (data["order_id"], "ship")]
        packed_at, shipped_at = harness.orders.called_at
        assert shipped_at - packed_at > step_s - tolerance_s

    @pytest.mark.parametrize(("status", "slug"), [(404, "order-not-found"), (409, "order-state")])
    async def test_fulfilment_ends_when_the_order_is_cancelled_or_deleted(
        self, harness: Harness, status: int, slug: str
    ) -> None:
        harness.orders.error_response = problem(status, slug)
        async with harness.run_worker():
            await harness.add_jobs(fulfilment())
            await harness.wait_until_done(1)
        assert [step for _, step in harness.orders.calls] == ["pack"]

    async def test_job_is_retried_when_a_404_is_not_about_the_order(self, harness: Harness) -> None:
        harness.orders.error_response = problem(404, "not-found")  # the route is not deployed yet
        async with harness.run_worker():
            await harness.add_jobs(fulfilment())
            await harness.wait_until(lambda jobs: "returned 404" in (jobs[0].last_error or ""))
            harness.orders.error_response = None
            await harness.wait_until_done(2)
        assert {step for _, step in harness.orders.calls} == {"pack", "ship"}

    async def test_worker_sends_emails_when_fulfilment_is_due_later(self, harness: Harness) -> None:
        user_id = str(uuid4())
        add_user(harness.users, user_id)
        async with harness.run_worker(fulfil_step_seconds="600", max_jobs="1"):
            for _ in range(3):
                await append_event(harness.redis, order_event(data=order_data(user_id=user_id)))
            await eventually(lambda: len(harness.mailbox.messages) == 3)
        assert harness.orders.calls == []

    async def test_span_of_shipping_is_a_child_of_the_span_of_packing(self, harness: Harness, spans: Spans) -> None:
        async with harness.run_worker():
            await harness.add_jobs(fulfilment())
            await eventually(lambda: len(spans.named("run fulfil_order")) == 2)
        packing, shipping = sorted(spans.named("run fulfil_order"), key=lambda span: span.start_time or 0)
        assert shipping.parent is not None
        assert packing.context is not None
        assert shipping.parent.span_id == packing.context.span_id
