"""Seal, then ship, as an algorithm: any order of commits, crashes, flushes, restores and rivals ends well."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import publish
from shared.events.shipper import Shipper
from testkit.things import OUTBOX, STREAM, Things, made

STEPS = [
    "commit",
    "roll back",
    "begin",  # a slow transaction, whose row is inserted now
    "commit slow",  # and becomes visible later than rows inserted after it
    "seal A",
    "ship A",
    "seal B",  # a rival that believes it leads too, say after a freeze
    "ship B",
    "crash A",  # forgets all it knew
    "flush",
    "restore",  # Redis comes back with the first half of the stream
    "trim",
]


class Harness:
    """Carries out steps against real servers."""

    def __init__(self, things: Things, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.things = things
        self.shippers = {name: self.shipper(connection) for name in "AB"}
        self.sealed: dict[str, list[Any]] = {"A": [], "B": []}
        self.slow: list[AsyncSession] = []
        self.connection = connection
        self.published = 0
        self.trimmed = False

    def shipper(self, connection: "asyncpg.Connection[asyncpg.Record]") -> Shipper:
        return Shipper(connection=connection, redis=self.things.redis, stream=STREAM)

    async def take(self, step: str) -> None:
        action, _, who = step.partition(" ")
        if who in self.shippers:
            await {"seal": self.seal, "ship": self.ship, "crash": self.crash}[action](who)
        else:
            await getattr(self, step.replace(" ", "_"))()

    async def commit(self) -> None:
        self.published += 1
        await self.things.publish(self.published)

    async def roll_back(self) -> None:
        async with self.things.sessions() as session:
            await publish(session, made(-1))

    async def begin(self) -> None:
        self.published += 1
        session = self.things.sessions()
        await publish(session, made(self.published))
        self.slow.append(session)

    async def commit_slow(self) -> None:
        for session in self.slow:
            await session.commit()
            await session.close()
        self.slow.clear()

    async def seal(self, who: str) -> None:
        self.sealed[who] = await self.shippers[who].seal()

    async def ship(self, who: str) -> None:
        await self.shippers[who].ship(self.sealed[who])
        self.sealed[who] = []

    async def crash(self, who: str) -> None:
        self.shippers[who] = self.shipper(self.connection)
        self.sealed[who] = []

    async def flush(self) -> None:
        await self.things.redis.delete(STREAM)
        self.trimmed = False

    async def restore(self) -> None:
        entries = await self.things.redis.xrange(STREAM)
        if not self.trimmed:
            await self.flush()
            for entry_id, fields in entries[: len(entries) // 2]:
                await self.things.redis.xadd(STREAM, fields, id=entry_id)

    async def trim(self) -> None:
        entries = await self.things.redis.xrange(STREAM)
        if entries:
            await self.things.redis.xtrim(STREAM, minid=entries[-1][0], approximate=False)
            self.trimmed = True

    async def finish(self) -> None:
        """Everything commits, and A goes on alone until there is nothing to do."""
        await self.commit_slow()
        while await self.shippers["A"].step():
            pass


@asynccontextmanager
async def harness(things: Things) -> AsyncIterator[Harness]:
    async with things.sessions() as session, session.begin():
        await session.execute(sa.delete(OUTBOX))
    await things.redis.flushdb()
    connection = await asyncpg.connect(things.database_url)
    try:
        yield Harness(things, connection)
    finally:
        await connection.close()


@given(steps=st.lists(st.sampled_from(STEPS), max_size=30))
@example(steps=["commit", "seal A", "ship A", "flush", "commit", "seal A", "ship A"])
@example(steps=["commit", "seal A", "ship A", "commit", "seal B", "ship B", "commit", "seal A", "ship A"])
@example(steps=["begin", "commit", "seal A", "ship A", "commit slow", "seal A", "crash A", "ship A"])
@example(steps=["commit", "seal A", "ship A", "trim", "crash A", "commit", "seal A", "ship A"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_stream_is_contiguous_and_equals_outbox(things: Things, steps: list[str]) -> None:
    async with harness(things) as run:
        for step in steps:
            await run.take(step)
        await run.finish()
        outbox, stream = await things.outbox(), await things.stream()
        assert sorted(n for _, n in outbox) == list(range(1, run.published + 1))
        assert [seq for seq, _ in outbox] == [f"{seq}-0" for seq in range(1, run.published + 1)]
        assert stream == (outbox[-len(stream) :] if run.trimmed else outbox)


async def test_step_says_whether_there_is_more(things: Things) -> None:
    async with harness(things) as run:
        await things.publish(1)
        assert await run.shippers["A"].step()
        assert not await run.shippers["A"].step()
