"""A minimal service that publishes and consumes events, for the tests of `shared.messaging`.

`publish` publishes numbered events, and `EffectHandler` inserts the number of each into the table `effect`. The service
also runs as a separate process that tests kill: `python -m testkit.sample_service relay|consumer` with DATABASE_URL
and REDIS_URL.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from shared.db.pool import MeasuredPool
from shared.db.redis import create_redis
from shared.db.urls import async_url
from shared.messaging import (
    AfterCommit,
    CloudEvent,
    Consumer,
    ConsumerLimits,
    Relay,
    dead_letter_table,
    inbox_table,
    outbox_table,
    publish,
)

STREAM = "events:samples"
GROUP = "sample-consumers"
TYPE = "hopline.sample.created.v1"

metadata = sa.MetaData()
OUTBOX = outbox_table(metadata)
INBOX = inbox_table(metadata)
DEAD_LETTERS = dead_letter_table(metadata)
EFFECT = sa.Table("effect", metadata, sa.Column("n", sa.Integer, nullable=False))


def sample_event(n: int, *, kind: str = TYPE) -> CloudEvent:
    """Return event number `n`."""
    return CloudEvent(source="/hopline/samples", type=kind, subject=f"sample-{n}", data={"n": n})


@dataclass(kw_only=True)
class EffectHandler:
    """A handler that inserts the number of the event. `failures` maps numbers to failing calls (None: all calls)."""

    failures: dict[int, int | None] = field(default_factory=dict)
    error: type[Exception] = ValueError
    after_commit: AfterCommit | None = None
    calls: list[int] = field(default_factory=list)

    async def __call__(self, session: AsyncSession, event: CloudEvent) -> AfterCommit | None:
        """Insert the effect, then fail if `failures` has the number. The transaction must remove the effect."""
        n = event.data["n"]
        self.calls.append(n)
        await session.execute(sa.insert(EFFECT).values(n=n))
        left = self.failures.get(n, 0)
        if left is None or left > 0:
            self.failures[n] = None if left is None else left - 1
            raise self.error(f"event {n} is rejected")
        return self.after_commit


@dataclass(kw_only=True)
class SampleService:
    """The service with its stores, and the state that tests read."""

    database_url: str
    redis_url: str
    engine: AsyncEngine
    redis: Redis

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """Return the only session maker of the process.

        A relay registers itself with a session maker, and wakes up when a session of that maker commits events.
        """
        return self._sessions

    def __post_init__(self) -> None:
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    def relay(self, **options: Any) -> Relay:
        """Return a relay of this service, for `async with`."""
        given: dict[str, Any] = {"database_url": self.database_url, "redis": self.redis, "sessions": self.sessions}
        return Relay(**{"stream": STREAM} | given | options)

    def consumer(
        self, handler: EffectHandler, *, redis: Redis | None = None, event_type: str = TYPE, **limits: Any
    ) -> Consumer:
        """Return a consumer of the events of this service, for `async with`."""
        return Consumer(
            group=GROUP,
            stream=STREAM,
            handlers={event_type: handler},
            sessions=self.sessions,
            redis=redis or self.redis,
            limits=ConsumerLimits(**limits),
        )

    async def publish(self, *numbers: int) -> None:
        """Publish events, each in a separate transaction."""
        for n in numbers:
            async with self.sessions() as session, session.begin():
                await publish(session, sample_event(n))

    async def send(self, *numbers: int) -> None:
        """Append to the stream directly, as a relay would."""
        last = len(await self.redis.xrange(STREAM))
        for seq, n in enumerate(numbers, last + 1):
            await self.redis.xadd(STREAM, {"event": sample_event(n).encode()}, id=f"{seq}-0")

    async def stream(self) -> list[tuple[str, int]]:
        """Return the entries of the stream: entry id and event number."""
        entries = await self.redis.xrange(STREAM)
        return [(entry_id.decode(), CloudEvent.decode(fields[b"event"]).data["n"]) for entry_id, fields in entries]

    async def outbox(self) -> list[tuple[str, int]]:
        """Return the entries that the stream must have according to the outbox."""
        n = OUTBOX.c.data["n"].as_integer()
        sequenced = sa.select(OUTBOX.c.pub_seq, n).where(OUTBOX.c.pub_seq.is_not(None)).order_by(OUTBOX.c.pub_seq)
        async with self.sessions() as session:
            return [(f"{seq}-0", number) for seq, number in await session.execute(sequenced)]

    async def effects(self) -> list[int]:
        """Return the numbers of the applied events, in the order of their insertion."""
        async with self.sessions() as session:
            return list(await session.scalars(sa.select(EFFECT.c.n).order_by(sa.text("ctid"))))

    async def pending(self) -> int:
        """Return the number of unacknowledged entries; AssertionError if the group does not exist."""
        try:
            summary = await self.redis.xpending(STREAM, GROUP)
        except ResponseError as missing:
            raise AssertionError("the consumer has not created its group yet") from missing
        return int(summary["pending"])


@asynccontextmanager
async def open_sample_service(*, database_url: str, redis_url: str) -> AsyncIterator[SampleService]:
    """Open the service, and create missing tables."""
    engine = create_async_engine(async_url(database_url), poolclass=MeasuredPool)
    redis = create_redis(redis_url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield SampleService(database_url=database_url, redis_url=redis_url, engine=engine, redis=redis)
    finally:
        await redis.aclose()
        await engine.dispose()


async def main(roles: Iterable[str]) -> None:
    """Run these roles until the process is killed."""
    stores = {"database_url": os.environ["DATABASE_URL"], "redis_url": os.environ["REDIS_URL"]}
    async with open_sample_service(**stores) as sample_service:
        running = {"relay": sample_service.relay(poll_s=0.2), "consumer": sample_service.consumer(EffectHandler())}
        for role in roles:
            await running[role].__aenter__()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
