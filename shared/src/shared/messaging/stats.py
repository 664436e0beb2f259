"""Statistics of the outbox and of streams, for `make status` and readiness."""

from dataclasses import dataclass

import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging.low_water_mark import HEAD_SEQ
from shared.messaging.outbox import OUTBOX


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """`last_seq` is the last assigned `pub_seq`; `unsequenced` rows have none yet.

    The number of rows that were sequenced but not appended yet is `last_seq - StreamStats.last`.
    """

    last_seq: int
    unsequenced: int
    oldest_unsequenced_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStats:
    """`lag` entries were not delivered yet, `pending` were delivered and not acknowledged."""

    name: str
    lag: int
    pending: int
    consumers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """`length` is the number of entries now; `last` is the sequence of the last entry that was ever appended."""

    stream: str
    length: int
    last: int
    groups: list[GroupStats]


async def get_outbox_stats(session: AsyncSession) -> OutboxStats:
    """Return the statistics of the outbox; two index lookups."""
    unsequenced = OUTBOX.c.pub_seq.is_(None)
    age = sa.func.extract("epoch", sa.func.clock_timestamp() - sa.func.min(OUTBOX.c.created_at))
    count, oldest = (await session.execute(sa.select(sa.func.count(), age).where(unsequenced))).one()
    last_seq = await session.scalar(sa.text(f"SELECT {HEAD_SEQ}"))
    return OutboxStats(last_seq=last_seq or 0, unsequenced=count, oldest_unsequenced_s=float(oldest or 0))


async def get_stream_stats(redis: Redis, stream: str) -> StreamStats:
    """Return the statistics of a stream; zeros if it does not exist (nothing published, or Redis was flushed)."""
    if not await redis.exists(stream):
        return StreamStats(stream=stream, length=0, last=0, groups=[])
    info = await redis.xinfo_stream(stream)
    last = _seq(info["last-generated-id"])
    groups = [
        GroupStats(
            name=group["name"].decode(),
            lag=min(max(last - _seq(group["last-delivered-id"]), 0), info["length"]),  # the stream may begin above 1
            pending=group["pending"],
            consumers=group["consumers"],
        )
        for group in await redis.xinfo_groups(stream)
    ]
    return StreamStats(stream=stream, length=info["length"], last=last, groups=groups)


def _seq(entry_id: bytes) -> int:
    return int(entry_id.split(b"-")[0])
