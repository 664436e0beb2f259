"""Publishing: after a commit, tell every process that may hold one of the user's sockets.

A hint, never the truth: losing it delays a notification until the next heartbeat. The message is the whole frame, so
that delivering it reads no database.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from redis.asyncio import Redis

from notifications.realtime.cache import FeedCache
from notifications.realtime.frames import NotificationFrame, ReadMoved, Stock
from shared.store_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

_PREFIX = "notifications:user:"
_ROOM_PREFIX = "notifications:room:"


def channel(user_id: UUID) -> str:
    """The pub/sub channel of one user."""
    return f"{_PREFIX}{user_id}"


def user_of(name: str) -> UUID:
    """The user of a channel; raises ValueError for another channel's name."""
    return UUID(name.removeprefix(_PREFIX))


def room_channel(room: str) -> str:
    """Return the pub/sub channel of a room."""
    return f"{_ROOM_PREFIX}{room}"


def room_of(name: str) -> str:
    """Return the room of a channel."""
    return name.removeprefix(_ROOM_PREFIX)


class Publisher:
    """Publishes to users' channels. Redis being away is logged, not raised: the commit stands."""

    def __init__(self, *, redis: Redis, cache: FeedCache) -> None:
        self._redis = redis
        self._cache = cache

    async def notification(self, user_id: UUID, frame: NotificationFrame, *, stock: Sequence[Stock] = ()) -> None:
        """Cache and publish one notification, and the stock levels that came with it, in one round trip."""
        body = frame.encode().encode()
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                self._cache.append(pipeline, user_id, frame.seq, body)
                pipeline.publish(channel(user_id), body)
                for level in stock:
                    pipeline.publish(room_channel(level.room), level.encode())
                await pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            log.warning("publish_failed", user_id=user_id, seq=frame.seq, error=repr(error))

    async def read(self, user_id: UUID, read_seq: int) -> None:
        """Tell all the user's devices how far the feed is read."""
        try:
            await self._redis.publish(channel(user_id), ReadMoved(read_seq=read_seq).encode())
        except REDIS_ERRORS as error:
            log.warning("publish_failed", user_id=user_id, read_seq=read_seq, error=repr(error))
