"""How far things are: for `make status`, health and people."""

from dataclasses import dataclass

import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events.floor import HEAD_SEQ
from shared.events.outbox import OUTBOX


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """`sealed` is the last `pub_seq` given; `unsealed` rows wait for the relay, the oldest for `oldest_unsealed_s`.

    What the relay has sealed and not yet shipped is `sealed - StreamStats.last`.
    """

    sealed: int
    unsealed: int
    oldest_unsealed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStats:
    """`lag` entries were not yet read, `pending` were read and not yet acknowledged, by `consumers` processes."""

    name: str
    lag: int
    pending: int
    consumers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """`length` counts what trimming has left; `last` is the number of the last entry ever appended."""

    stream: str
    length: int
    last: int
    groups: list[GroupStats]


async def outbox_stats(session: AsyncSession) -> OutboxStats:
    """Ask Postgres; two index look-ups."""
    unsealed = OUTBOX.c.pub_seq.is_(None)
    age = sa.func.extract("epoch", sa.func.clock_timestamp() - sa.func.min(OUTBOX.c.created_at))
    count, oldest = (await session.execute(sa.select(sa.func.count(), age).where(unsealed))).one()
    sealed = await session.scalar(sa.text(f"SELECT {HEAD_SEQ}"))
    return OutboxStats(sealed=sealed or 0, unsealed=count, oldest_unsealed_s=float(oldest or 0))


async def stream_stats(redis: Redis, stream: str) -> StreamStats:
    """Ask Redis; all zero where the stream does not exist (nothing published yet, or Redis was flushed)."""
    if not await redis.exists(stream):
        return StreamStats(stream=stream, length=0, last=0, groups=[])
    info = await redis.xinfo_stream(stream)
    last = _seq(info["last-generated-id"])
    groups = [
        GroupStats(
            name=group["name"].decode(),
            lag=min(max(last - _seq(group["last-delivered-id"]), 0), info["length"]),  # it may begin at a floor
            pending=group["pending"],
            consumers=group["consumers"],
        )
        for group in await redis.xinfo_groups(stream)
    ]
    return StreamStats(stream=stream, length=info["length"], last=last, groups=groups)


def _seq(entry_id: bytes) -> int:
    return int(entry_id.split(b"-")[0])
