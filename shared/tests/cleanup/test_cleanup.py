from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from shared.cleanup import CleanupLimits, CleanupService, CleanupTask
from shared.db.database import Database
from testkit.sample_service import EFFECT, SampleService, open_sample_service


@pytest.fixture
async def sample(database: str, redis_url: str) -> AsyncIterator[SampleService]:
    """A service with five rows to delete."""
    async with open_sample_service(database_url=database, redis_url=redis_url) as opened:
        async with opened.sessions() as session, session.begin():
            await session.execute(sa.insert(EFFECT), [{"n": n} for n in range(5)])
        yield opened


def cleanup(sample: SampleService, **tasks: CleanupTask) -> CleanupService:
    return CleanupService(database=Database(engine=sample.engine, sessions=sample.sessions), tasks=tasks, batch=2)


async def delete_effects(session: AsyncSession, bounds: CleanupLimits) -> int:
    oldest = sa.select(EFFECT.c.n).order_by(EFFECT.c.n).limit(bounds.limit)
    return len((await session.scalars(sa.delete(EFFECT).where(EFFECT.c.n.in_(oldest)).returning(EFFECT.c.n))).all())


async def fail(_session: AsyncSession, _bounds: CleanupLimits) -> int:
    raise ConnectionError("Redis is unavailable")


class TestCleanup:
    async def test_each_run_deletes_one_batch_and_returns_whether_more_rows_are_left(
        self, sample: SampleService
    ) -> None:
        service = cleanup(sample, effects=delete_effects)
        cleaned = [await service.run() for _ in range(4)]
        assert [done.removed["effects"] for done in cleaned] == [2, 2, 1, 0]
        assert [done.more for done in cleaned] == [True, True, False, False]

    async def test_results_of_earlier_tasks_stay_when_a_task_fails(self, sample: SampleService) -> None:
        with pytest.raises(ConnectionError):
            await cleanup(sample, effects=delete_effects, broken=fail).run()
        assert len(await sample.effects()) == 3

    async def test_tasks_receive_the_limits(self, sample: SampleService) -> None:
        received: list[CleanupLimits] = []

        async def record_limits(_session: AsyncSession, bounds: CleanupLimits) -> int:
            received.append(bounds)
            return 0

        moment = datetime(2026, 11, 1, tzinfo=UTC)
        await cleanup(sample, recording=record_limits).run(events_since=moment)
        assert received == [CleanupLimits(limit=2, events_since=moment)]
