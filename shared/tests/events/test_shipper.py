"""Seal, then ship, as an algorithm: any order of commits, crashes, flushes, restores, removals and rivals ends well."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import acknowledged, prune_outbox, publish
from shared.events.floor import FLOOR, MARK
from shared.events.shipper import BATCH, Shipper
from testkit.things import GROUP, OUTBOX, STREAM, Things, made

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
    "acknowledge",  # the one group reads all that the stream has
    "prune one",  # of the rows that it has acknowledged
    "prune all",
]


Event = tuple[str, int]
"""Its id in the stream, and the number of the thing it is about."""


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
        self.seen: set[Event] = set()

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

    async def acknowledge(self) -> None:
        if not await self.things.redis.exists(STREAM):
            return
        with contextlib.suppress(ResponseError):  # it is there
            await self.things.redis.xgroup_create(STREAM, GROUP, id="0")
        self.seen |= set(await self.things.stream())
        replies = await self.things.redis.xreadgroup(GROUP, "member", {STREAM: ">"})
        for entry_id, _ in replies[0][1] if replies else ():
            await self.things.redis.xack(STREAM, GROUP, entry_id)

    async def prune_one(self) -> None:
        await self.prune(1)

    async def prune_all(self) -> None:
        await self.prune(100)

    async def prune(self, limit: int) -> None:
        done = await acknowledged(self.things.redis, STREAM, groups=[GROUP])
        async with self.things.sessions() as session, session.begin():
            await prune_outbox(session, acknowledged=done, kept=timedelta(0), limit=limit)

    async def finish(self) -> None:
        """Everything commits, and A goes on alone until there is nothing to do."""
        await self.commit_slow()
        while await self.shippers["A"].step():
            pass


@asynccontextmanager
async def harness(things: Things) -> AsyncIterator[Harness]:
    async with things.sessions() as session, session.begin():
        for table in (OUTBOX, FLOOR, MARK):
            await session.execute(sa.delete(table))
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
@example(steps=["commit", "seal A", "ship A", "acknowledge", "prune all", "flush", "commit", "seal A", "ship A"])
@example(
    steps=[*["commit"] * 4, "seal A", "ship A", "acknowledge", "prune all", "restore", "commit", "seal A", "ship A"]
)
@example(
    steps=[*["commit"] * 2, "seal A", "ship A", "acknowledge", "prune one", "flush", "crash A", "seal A", "ship A"]
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_stream_is_contiguous_and_equals_outbox(things: Things, steps: list[str]) -> None:
    async with harness(things) as run:
        for step in steps:
            await run.take(step)
        await run.finish()
        outbox, stream = await things.outbox(), await things.stream()
        known = run.seen | set(outbox)
        assert sorted(n for _, n in known) == list(range(1, run.published + 1)), "each event once, under one number"
        assert {seq for seq, _ in known} == {f"{seq}-0" for seq in range(1, run.published + 1)}
        assert set(stream) <= known
        if run.trimmed:
            assert contiguous(stream)
            assert stream[-1:] == outbox[-1:] or not outbox
        else:
            assert stream[len(stream) - len(outbox) :] == outbox
            assert contiguous(stream)


def contiguous(stream: list[Event]) -> bool:
    numbers = [int(entry_id.removesuffix("-0")) for entry_id, _ in stream]
    return not numbers or numbers == list(range(numbers[0], numbers[-1] + 1))


async def test_step_says_whether_there_is_more(things: Things) -> None:
    async with harness(things) as run:
        async with things.sessions() as session, session.begin():
            for n in range(BATCH + 1):
                await publish(session, made(n))
        assert await run.shippers["A"].step()
        assert not await run.shippers["A"].step()
        assert len(await things.stream()) == BATCH + 1
