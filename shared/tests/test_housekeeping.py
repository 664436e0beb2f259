from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Database
from shared.housekeeping import Bounds, Chore, Housekeeping
from testkit.things import EFFECT, Things, open_things


@pytest.fixture
async def things(database: str, redis_url: str) -> AsyncIterator[Things]:
    """A service with five rows that may go."""
    async with open_things(database_url=database, redis_url=redis_url) as opened:
        async with opened.sessions() as session, session.begin():
            await session.execute(sa.insert(EFFECT), [{"n": n} for n in range(5)])
        yield opened


def housekeeping(things: Things, **chores: Chore) -> Housekeeping:
    return Housekeeping(database=Database(engine=things.engine, sessions=things.sessions), chores=chores, batch=2)


async def forget_effects(session: AsyncSession, bounds: Bounds) -> int:
    oldest = sa.select(EFFECT.c.n).order_by(EFFECT.c.n).limit(bounds.limit)
    return len((await session.scalars(sa.delete(EFFECT).where(EFFECT.c.n.in_(oldest)).returning(EFFECT.c.n))).all())


async def fail(_session: AsyncSession, _bounds: Bounds) -> int:
    raise ConnectionError("Redis is away")


class TestHousekeeping:
    async def test_goes_by_batches_and_says_whether_there_is_more(self, things: Things) -> None:
        keeper = housekeeping(things, effects=forget_effects)
        tidied = [await keeper.tidy() for _ in range(4)]
        assert [done.removed["effects"] for done in tidied] == [2, 2, 1, 0]
        assert [done.more for done in tidied] == [True, True, False, False]

    async def test_chore_that_fails_leaves_done_what_came_before(self, things: Things) -> None:
        with pytest.raises(ConnectionError):
            await housekeeping(things, effects=forget_effects, broken=fail).tidy()
        assert len(await things.effects()) == 3

    async def test_tells_chores_what_the_caller_knows(self, things: Things) -> None:
        told: list[Bounds] = []

        async def listen(_session: AsyncSession, bounds: Bounds) -> int:
            told.append(bounds)
            return 0

        moment = datetime(2026, 11, 1, tzinfo=UTC)
        await housekeeping(things, listening=listen).tidy(events_since=moment)
        assert told == [Bounds(limit=2, events_since=moment)]
