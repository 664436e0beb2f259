"""Statistics of a stream and its consumer groups, for the metrics of the backlog."""

from dataclasses import dataclass

from redis.asyncio import Redis


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
