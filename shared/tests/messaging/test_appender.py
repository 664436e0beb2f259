"""The stream equals the outbox after any sequence of commits, crashes, losses of Redis, deletions and relays."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging import get_acknowledged_seq, prune_outbox, publish
from shared.messaging.appender import BATCH, StreamAppender
from shared.messaging.low_water_mark import ACKNOWLEDGED_MARK, LOW_WATER_MARK
from testkit.sample_service import GROUP, OUTBOX, STREAM, SampleService, open_sample_service, sample_event
from testkit.servers import StartValkey

STEPS = [
    "commit",
    "roll back",
    "begin",  # insert the row of a slow transaction
    "commit slow",  # its row becomes visible after rows that were inserted later
    "sequence A",
    "append A",
    "sequence B",  # a second relay that also acts as the leader, such as after a freeze
    "append B",
    "crash A",  # lose the state in memory
    "flush",
    "restore",  # Redis restores the first half of the stream
    "trim",
    "acknowledge",  # the only group reads and acknowledges all entries
    "prune one",  # delete one acknowledged row
    "prune all",
]


Entry = tuple[str, int]
"""The id of an entry of the stream, and the number of its event."""


class Harness:
    """Executes steps on real servers. Both relays use one connection, because their steps never overlap."""

    def __init__(self, sample: SampleService, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.sample_service = sample
        self.appenders = {name: self.create_appender(connection) for name in "AB"}
        self.sequenced: dict[str, list[Any]] = {"A": [], "B": []}
        self.slow_sessions: list[AsyncSession] = []
        self.connection = connection
        self.published = 0
        self.trimmed = False
        self.acknowledged: set[Entry] = set()

    def create_appender(self, connection: "asyncpg.Connection[asyncpg.Record]") -> StreamAppender:
        return StreamAppender(connection=connection, redis=self.sample_service.redis, stream=STREAM)

    async def execute(self, step: str) -> None:
        action, _, relay = step.partition(" ")
        if relay in self.appenders:
            await {"sequence": self.sequence, "append": self.append, "crash": self.crash}[action](relay)
        else:
            await getattr(self, step.replace(" ", "_"))()

    async def commit(self) -> None:
        self.published += 1
        await self.sample_service.publish(self.published)

    async def roll_back(self) -> None:
        async with self.sample_service.sessions() as session:
            await publish(session, sample_event(-1))

    async def begin(self) -> None:
        self.published += 1
        session = self.sample_service.sessions()
        await publish(session, sample_event(self.published))
        self.slow_sessions.append(session)

    async def commit_slow(self) -> None:
        for session in self.slow_sessions:
            await session.commit()
            await session.close()
        self.slow_sessions.clear()

    async def sequence(self, relay: str) -> None:
        self.sequenced[relay] = await self.appenders[relay].assign_sequence()

    async def append(self, relay: str) -> None:
        await self.appenders[relay].append(self.sequenced[relay])
        self.sequenced[relay] = []

    async def crash(self, relay: str) -> None:
        self.appenders[relay] = self.create_appender(self.connection)
        self.sequenced[relay] = []

    async def flush(self) -> None:
        await self.sample_service.redis.delete(STREAM)
        self.trimmed = False

    async def restore(self) -> None:
        if not self.trimmed:
            entries = await self.sample_service.redis.xrange(STREAM)
            await self.flush()
            for entry_id, fields in entries[: len(entries) // 2]:
                await self.sample_service.redis.xadd(STREAM, fields, id=entry_id)

    async def trim(self) -> None:
        entries = await self.sample_service.redis.xrange(STREAM)
        if entries:
            await self.sample_service.redis.xtrim(STREAM, minid=entries[-1][0], approximate=False)
            self.trimmed = True

    async def acknowledge(self) -> None:
        if not await self.sample_service.redis.exists(STREAM):
            return
        with contextlib.suppress(ResponseError):  # the group exists already
            await self.sample_service.redis.xgroup_create(STREAM, GROUP, id="0")
        self.acknowledged |= set(await self.sample_service.stream())
        responses = await self.sample_service.redis.xreadgroup(GROUP, "member", {STREAM: ">"})
        for entry_id, _ in responses[0][1] if responses else ():
            await self.sample_service.redis.xack(STREAM, GROUP, entry_id)

    async def prune_one(self) -> None:
        await self.prune(1)

    async def prune_all(self) -> None:
        await self.prune(100)

    async def prune(self, limit: int) -> None:
        acknowledged = await get_acknowledged_seq(self.sample_service.redis, STREAM, groups=[GROUP])
        async with self.sample_service.sessions() as session, session.begin():
            await prune_outbox(session, acknowledged=acknowledged, retention=timedelta(0), limit=limit)

    async def finish(self) -> None:
        """Commit all transactions, and let relay A append all rows."""
        await self.commit_slow()
        while await self.appenders["A"].step():
            pass


@asynccontextmanager
async def open_harness(sample: SampleService) -> AsyncIterator[Harness]:
    """Delete the data of the previous example, and yield a harness."""
    async with sample.sessions() as session, session.begin():
        for table in (OUTBOX, LOW_WATER_MARK, ACKNOWLEDGED_MARK):
            await session.execute(sa.delete(table))
    await sample.redis.flushdb()
    connection = await asyncpg.connect(sample.database_url)
    try:
        yield Harness(sample, connection)
    finally:
        await connection.close()


RELAY_A, RELAY_B = ("sequence A", "append A"), ("sequence B", "append B")


@given(steps=st.lists(st.sampled_from(STEPS), max_size=30))
@example(steps=["commit", *RELAY_A, "flush", "commit", *RELAY_A]).via("Redis lost the stream")
@example(steps=["commit", *RELAY_A, "commit", *RELAY_B, "commit", *RELAY_A]).via("two relays append in turn")
@example(steps=["begin", "commit", *RELAY_A, "commit slow", "sequence A", "crash A", "append A"]).via(
    "a transaction commits late, and the relay crashes before it appends the row"
)
@example(steps=["commit", *RELAY_A, "trim", "crash A", "commit", *RELAY_A]).via("a new relay finds a trimmed stream")
@example(steps=["commit", *RELAY_A, "acknowledge", "prune all", "flush", "commit", *RELAY_A]).via(
    "Redis lost the stream, and no row is left"
)
@example(steps=[*["commit"] * 4, *RELAY_A, "acknowledge", "prune all", "restore", "commit", *RELAY_A]).via(
    "Redis restored half of the stream, and no row is left"
)
@example(steps=[*["commit"] * 2, *RELAY_A, "acknowledge", "prune one", "flush", "crash A", *RELAY_A]).via(
    "Redis lost the stream, one of two rows is left, and the relay is new"
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_stream_equals_the_outbox_after_any_steps(sample: SampleService, steps: list[str]) -> None:
    async with open_harness(sample) as harness:
        for step in steps:
            await harness.execute(step)
        await harness.finish()
        outbox, stream = await sample.outbox(), await sample.stream()
        entries = harness.acknowledged | set(outbox)
        numbers = range(1, harness.published + 1)
        assert sorted(number for _, number in entries) == [*numbers], "each event must have exactly one entry"
        assert {entry_id for entry_id, _ in entries} == {f"{seq}-0" for seq in numbers}
        assert set(stream) <= entries
        assert is_contiguous(stream)
        if harness.trimmed:
            assert stream[-1:] == outbox[-1:] or not outbox
        else:
            assert stream[len(stream) - len(outbox) :] == outbox


def is_contiguous(stream: list[Entry]) -> bool:
    numbers = [int(entry_id.removesuffix("-0")) for entry_id, _ in stream]
    return not numbers or numbers == list(range(numbers[0], numbers[-1] + 1))


async def test_no_sequence_is_assigned_when_redis_is_unavailable(database: str, start_valkey: StartValkey) -> None:
    valkey = start_valkey()
    valkey.kill()
    async with open_sample_service(database_url=database, redis_url=valkey.url) as sample:
        await sample.publish(1)
        connection = await asyncpg.connect(database)
        with pytest.raises(RedisConnectionError):
            await StreamAppender(connection=connection, redis=sample.redis, stream=STREAM).step()
        await connection.close()
        assert await sample.outbox() == []


async def test_step_returns_whether_more_rows_may_be_left(sample: SampleService) -> None:
    async with open_harness(sample) as harness:
        async with sample.sessions() as session, session.begin():
            for n in range(BATCH + 1):
                await publish(session, sample_event(n))
        assert await harness.appenders["A"].step()
        assert not await harness.appenders["A"].step()
        assert len(await sample.stream()) == BATCH + 1
