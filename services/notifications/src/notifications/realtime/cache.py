"""The last few hundred notifications of each active user, as a Redis stream: reconnecting devices spare Postgres.

An entry's id is `<seq>-0`, so a position is found without an index. It may lack anything (Redis was flushed, an
append lost, two appends in the wrong order, of which Redis refuses the late one): a reader takes what is contiguous
from its cursor on and asks Postgres for the rest. It never invents anything, so it needs no invalidation.
"""

from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from notifications.realtime.frames import NotificationFrame

LENGTH = 300
LIFETIME_S = 24 * 3600

_FIELD = b"frame"


def _key(user_id: UUID) -> str:
    return f"notifications:feed:{user_id}"


class FeedCache:
    """Reads and writes the streams."""

    def __init__(self, *, redis: Redis) -> None:
        self._redis = redis

    def append(self, pipeline: "Pipeline", user_id: UUID, seq: int, body: bytes) -> None:
        """Have `pipeline` append; it answers with an error where a later one is there already."""
        pipeline.xadd(_key(user_id), {_FIELD: body}, id=f"{seq}-0", maxlen=LENGTH, approximate=True)
        pipeline.expire(_key(user_id), LIFETIME_S)

    async def after(self, user_id: UUID, *, seq: int, limit: int) -> list[NotificationFrame]:
        """At most `limit` notifications from `seq + 1` on; empty where the cache does not have that one."""
        entries = await self._redis.xrange(_key(user_id), min=f"({seq}-0", count=limit)
        if not entries or entries[0][0] != b"%d-0" % (seq + 1):
            return []
        return [NotificationFrame.model_validate_json(fields[_FIELD]) for _, fields in entries]
