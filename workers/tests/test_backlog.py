"""The ledger as figures: by kind and state, and none that stays when its jobs are gone."""

from testkit.metrics import Metrics
from workers.backlog import look

from .factories import order_email, welcome_email
from .world import World


class TestBacklog:
    async def test_tells_jobs_by_state_until_they_are_done(self, world: World, counted: Metrics) -> None:
        await world.add(welcome_email(), order_email(delay_s=90))
        await world.execute("UPDATE job SET run_after = now() - interval '1 minute' WHERE kind = 'send_welcome_email'")
        due = {"hopline.job.kind": "send_welcome_email", "hopline.job.state": "due"}
        later = {"hopline.job.kind": "send_order_email", "hopline.job.state": "queued"}
        await self._look(world)
        assert [counted.value("hopline.jobs", labels) for labels in (due, later)] == [1, 1]
        assert 60 <= counted.value("hopline.job.age") < 70

        await world.execute("UPDATE job SET state = 'done', finished_at = now()")
        await self._look(world)
        assert [counted.value("hopline.jobs", labels) for labels in (due, later)] == [0, 0]
        assert counted.value("hopline.job.age") == 0

    async def _look(self, world: World) -> None:
        async with world.database.sessions() as session:
            await look(session)
