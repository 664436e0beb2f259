"""The last few hundred notifications of each active user in a Redis stream, for devices that reconnect.

The id of an entry is `<seq>-0`, so a position is found without an index. Entries can be missing: Redis was flushed, an
append was lost, or two appends arrived in the wrong order and Redis rejected the later one. So a reader uses only the
contiguous entries after its cursor and reads the rest from PostgreSQL. Entries never change, so the cache needs no
invalidation.
"""

from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from notifications.realtime.frames import NotificationFrame

MAX_ENTRIES = 300
"""Notifications per user. Redis removes older entries in blocks, so a stream can have some more."""

LIFETIME_S = 24 * 3600
"""Expiry of a stream after its last append."""

LATE_APPEND = "equal or smaller"
"""Part of the error with which Redis rejects an append if the stream has a later entry."""

_FIELD = b"frame"


def _key(user_id: UUID) -> str:
    return f"notifications:feed:{user_id}"


class FeedCache:
    """Reads and writes the streams."""

    def __init__(self, *, redis: Redis) -> None:
        self._redis = redis

    def append(self, pipeline: Pipeline, user_id: UUID, seq: int, body: bytes) -> None:
        """Queue the append of a notification in `pipeline`. Its result can be the error `LATE_APPEND`."""
        pipeline.xadd(_key(user_id), {_FIELD: body}, id=f"{seq}-0", maxlen=MAX_ENTRIES, approximate=True)
        pipeline.expire(_key(user_id), LIFETIME_S)

    async def list_after(self, user_id: UUID, *, seq: int, limit: int) -> list[NotificationFrame]:
        """Return at most `limit` cached notifications from `seq + 1` on, or none if `seq + 1` is not cached.

        Later notifications can be missing.
        """
        entries = await self._redis.xrange(_key(user_id), min=f"({seq}-0", count=limit)
        if not entries or entries[0][0] != b"%d-0" % (seq + 1):
            return []
        return [NotificationFrame.model_validate_json(fields[_FIELD]) for _, fields in entries]
