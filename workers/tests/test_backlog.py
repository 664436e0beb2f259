"""Metrics of the job table by type and state. They return to 0 when the jobs are gone."""

from testkit.metrics import Metrics
from workers.jobs.backlog import measure

from .factories import order_email, welcome_email
from .harness import Harness


class TestBacklog:
    async def test_backlog_counts_jobs_by_state_until_they_are_done(self, harness: Harness, metrics: Metrics) -> None:
        await harness.add(welcome_email(), order_email(delay_s=90))
        await harness.execute(
            "UPDATE job SET run_after = now() - interval '1 minute' WHERE kind = 'send_welcome_email'"
        )
        due = {"hopline.job.kind": "send_welcome_email", "hopline.job.state": "due"}
        later = {"hopline.job.kind": "send_order_email", "hopline.job.state": "queued"}
        await self._measure(harness)
        assert [metrics.value("hopline.jobs", labels) for labels in (due, later)] == [1, 1]
        assert 60 <= metrics.value("hopline.job.age") < 70

        await harness.execute("UPDATE job SET state = 'done', finished_at = now()")
        await self._measure(harness)
        assert [metrics.value("hopline.jobs", labels) for labels in (due, later)] == [0, 0]
        assert metrics.value("hopline.job.age") == 0

    async def _measure(self, harness: Harness) -> None:
        async with harness.database.sessions() as session:
            await measure(session)
