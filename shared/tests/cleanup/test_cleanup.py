"""The cleanup tasks of a service, run in batches of two rows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from shared.cleanup import CleanupLimits, CleanupService, CleanupTask
from shared.db.database import Database
from testkit.sample_service import EFFECT, SampleService, open_sample_service

BATCH = 2


@pytest.fixture
async def sample(database: str, redis_url: str) -> AsyncIterator[SampleService]:
    """A service with five rows to delete in the table `effect`."""
    async with open_sample_service(database_url=database, redis_url=redis_url) as opened:
        async with opened.sessions() as session, session.begin():
            await session.execute(sa.insert(EFFECT), [{"n": n} for n in range(5)])
        yield opened


def create_cleanup(sample: SampleService, **tasks: CleanupTask) -> CleanupService:
    return CleanupService(database=Database(engine=sample.engine, sessions=sample.sessions), tasks=tasks, batch=BATCH)


async def delete_effects(session: AsyncSession, limits: CleanupLimits) -> int:
    oldest = sa.select(EFFECT.c.n).order_by(EFFECT.c.n).limit(limits.limit)
    return len((await session.scalars(sa.delete(EFFECT).where(EFFECT.c.n.in_(oldest)).returning(EFFECT.c.n))).all())


async def fail(_session: AsyncSession, _limits: CleanupLimits) -> int:
    raise ConnectionError("Redis is unavailable")


class TestCleanup:
    async def test_each_run_deletes_one_batch_and_returns_whether_more_rows_are_left(
        self, sample: SampleService
    ) -> None:
        cleanup = create_cleanup(sample, effects=delete_effects)
        results = [await cleanup.run() for _ in range(4)]
        assert [result.removed["effects"] for result in results] == [2, 2, 1, 0]
        assert [result.more for result in results] == [True, True, False, False]

    async def test_deletions_of_earlier_tasks_stay_when_a_later_task_fails(self, sample: SampleService) -> None:
        before = len(await sample.effects())
        with pytest.raises(ConnectionError):
            await create_cleanup(sample, effects=delete_effects, broken=fail).run()
        assert len(await sample.effects()) == before - BATCH

    async def test_tasks_receive_the_limits_of_the_run(self, sample: SampleService) -> None:
        received: list[CleanupLimits] = []

        async def record_limits(_session: AsyncSession, limits: CleanupLimits) -> int:
            received.append(limits)
            return 0

        events_since = datetime(2026, 11, 1, tzinfo=UTC)
        await create_cleanup(sample, recording=record_limits).run(events_since=events_since)
        assert received == [CleanupLimits(limit=BATCH, events_since=events_since)]
