"""Metrics of the job table by type and state. They return to 0 when the jobs are gone."""

from testkit.metrics import RecordedMetrics
from workers.jobs.backlog import measure

from .factories import order_email, welcome_email
from .harness import Harness

OVERDUE_S = 60
TEST_S = 10
"""Maximum duration of the test."""


class TestBacklog:
    async def test_gauges_count_jobs_by_state_and_return_to_zero_when_the_jobs_are_done(
        self, harness: Harness, metrics: RecordedMetrics
    ) -> None:
        await harness.add_jobs(welcome_email(), order_email(delay_s=90))
        await harness.execute(
            "UPDATE job SET run_after = now() - make_interval(secs => :secs) WHERE kind = 'send_welcome_email'",
            secs=OVERDUE_S,
        )
        due_labels = {"hopline.job.kind": "send_welcome_email", "hopline.job.state": "due"}
        queued_labels = {"hopline.job.kind": "send_order_email", "hopline.job.state": "queued"}
        await self._measure(harness)
        assert [metrics.value("hopline.jobs", labels) for labels in (due_labels, queued_labels)] == [1, 1]
        assert OVERDUE_S <= metrics.value("hopline.job.age") < OVERDUE_S + TEST_S

        await harness.execute("UPDATE job SET state = 'done', finished_at = now()")
        await self._measure(harness)
        assert [metrics.value("hopline.jobs", labels) for labels in (due_labels, queued_labels)] == [0, 0]
        assert metrics.value("hopline.job.age") == 0

    async def _measure(self, harness: Harness) -> None:
        async with harness.database.sessions() as session:
            await measure(session)
