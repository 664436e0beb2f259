"""A service as small as it can be that publishes and consumes events: what tests of `shared.events` run.

It makes things (`publish`), and watches them being made (`Watcher`), which it writes into `effect`. It also runs as
a process of its own, to be killed: `python -m testkit.things relay|consumer` with DATABASE_URL and REDIS_URL.
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

from shared.database import async_url
from shared.events import (
    AfterCommit,
    CloudEvent,
    Consumer,
    Relay,
    dead_letter_table,
    inbox_table,
    outbox_table,
    publish,
)
from shared.pool import MeasuredPool
from shared.redis import redis_client

STREAM = "events:things"
GROUP = "watchers"
TYPE = "hopline.thing.made.v1"

metadata = sa.MetaData()
OUTBOX = outbox_table(metadata)
INBOX = inbox_table(metadata)
DEAD_LETTERS = dead_letter_table(metadata)
EFFECT = sa.Table("effect", metadata, sa.Column("n", sa.Integer, nullable=False))


def made(n: int, *, kind: str = TYPE) -> CloudEvent:
    """The event that thing number `n` was made."""
    return CloudEvent(source="/hopline/things", type=kind, subject=f"thing-{n}", data={"n": n})


@dataclass(kw_only=True)
class Watcher:
    """A handler that writes the thing's number; `failures` says how often it first fails (None: always)."""

    failures: dict[int, int | None] = field(default_factory=dict)
    error: type[Exception] = ValueError
    after_commit: AfterCommit | None = None
    calls: list[int] = field(default_factory=list)

    async def __call__(self, session: AsyncSession, event: CloudEvent) -> AfterCommit | None:
        """Write the effect, then fail where told to: what was written must not stay."""
        n = event.data["n"]
        self.calls.append(n)
        await session.execute(sa.insert(EFFECT).values(n=n))
        left = self.failures.get(n, 0)
        if left is None or left > 0:
            self.failures[n] = None if left is None else left - 1
            raise self.error(f"no thing {n} today")
        return self.after_commit


@dataclass(kw_only=True)
class Things:
    """The service and its stores, with what tests ask of it."""

    database_url: str
    redis_url: str
    engine: AsyncEngine
    redis: Redis

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """The process's one session maker; what a relay adds to it must be seen by `publish`."""
        return self._sessions

    def __post_init__(self) -> None:
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    def relay(self, **options: Any) -> Relay:
        """A relay of this service, to enter."""
        given: dict[str, Any] = {"database_url": self.database_url, "redis": self.redis, "sessions": self.sessions}
        return Relay(**{"stream": STREAM} | given | options)

    def consumer(self, watcher: Watcher, **options: Any) -> Consumer:
        """A consumer of this service's own events, to enter."""
        given: dict[str, Any] = {"handlers": {TYPE: watcher}, "sessions": self.sessions, "redis": self.redis}
        return Consumer(**{"group": GROUP, "stream": STREAM} | given | options)

    async def publish(self, *numbers: int) -> None:
        """Make things, each in a transaction of its own."""
        for n in numbers:
            async with self.sessions() as session, session.begin():
                await publish(session, made(n))

    async def send(self, *numbers: int) -> None:
        """Append to the stream directly, as a relay would."""
        last = len(await self.redis.xrange(STREAM))
        for seq, n in enumerate(numbers, last + 1):
            await self.redis.xadd(STREAM, {"event": made(n).encode()}, id=f"{seq}-0")

    async def stream(self) -> list[tuple[str, int]]:
        """What the stream holds: (entry id, n)."""
        entries = await self.redis.xrange(STREAM)
        return [(entry_id.decode(), CloudEvent.decode(fields[b"event"]).data["n"]) for entry_id, fields in entries]

    async def outbox(self) -> list[tuple[str, int]]:
        """What the stream has to hold, by the outbox."""
        n = OUTBOX.c.data["n"].as_integer()
        sealed = sa.select(OUTBOX.c.pub_seq, n).where(OUTBOX.c.pub_seq.is_not(None)).order_by(OUTBOX.c.pub_seq)
        async with self.sessions() as session:
            return [(f"{seq}-0", number) for seq, number in await session.execute(sealed)]

    async def effects(self) -> list[int]:
        """The numbers the watcher has written, in order of writing."""
        async with self.sessions() as session:
            return list(await session.scalars(sa.select(EFFECT.c.n).order_by(sa.text("ctid"))))

    async def pending(self) -> int:
        """How many entries were handed out and not acknowledged; an `AssertionError` before the group is there."""
        try:
            summary = await self.redis.xpending(STREAM, GROUP)
        except ResponseError as missing:
            raise AssertionError("a consumer makes its group after it was entered") from missing
        return int(summary["pending"])


@asynccontextmanager
async def open_things(*, database_url: str, redis_url: str) -> AsyncIterator[Things]:
    """The service over its stores; its tables are created where missing."""
    engine = create_async_engine(async_url(database_url), poolclass=MeasuredPool)
    redis = redis_client(redis_url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield Things(database_url=database_url, redis_url=redis_url, engine=engine, redis=redis)
    finally:
        await redis.aclose()
        await engine.dispose()


async def main(roles: Iterable[str]) -> None:
    """Run the given roles until killed."""
    stores = {"database_url": os.environ["DATABASE_URL"], "redis_url": os.environ["REDIS_URL"]}
    async with open_things(**stores) as things:
        running = {"relay": things.relay(poll_s=0.2), "consumer": things.consumer(Watcher())}
        for role in roles:
            await running[role].__aenter__()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
