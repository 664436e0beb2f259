"""Publishing: after a commit, tell every process that may hold one of the user's sockets.

A hint, never the truth: losing it delays a notification until the next heartbeat. The message is the whole frame, so
that delivering it reads no database.
"""

from uuid import UUID

import structlog
from redis.asyncio import Redis

from notifications.realtime.cache import FeedCache
from notifications.realtime.frames import NotificationFrame, ReadMoved
from shared.store_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

_PREFIX = "notifications:user:"


def channel(user_id: UUID) -> str:
    """The pub/sub channel of one user."""
    return f"{_PREFIX}{user_id}"


def user_of(name: bytes) -> UUID:
    """The user of a channel; raises ValueError for another channel's name."""
    return UUID(name.decode().removeprefix(_PREFIX))


class Publisher:
    """Publishes to users' channels. Redis being away is logged, not raised: the commit stands."""

    def __init__(self, *, redis: Redis, cache: FeedCache) -> None:
        self._redis = redis
        self._cache = cache

    async def notification(self, user_id: UUID, frame: NotificationFrame) -> None:
        """Cache and publish one notification, in one round trip."""
        body = frame.encode().encode()
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                self._cache.append(pipeline, user_id, frame.seq, body)
                pipeline.publish(channel(user_id), body)
                await pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            log.warning("publish_failed", user_id=user_id, seq=frame.seq, error=repr(error))

    async def read(self, user_id: UUID, read_seq: int) -> None:
        """Tell all the user's devices how far the feed is read."""
        try:
            await self._redis.publish(channel(user_id), ReadMoved(read_seq=read_seq).encode())
        except REDIS_ERRORS as error:
            log.warning("publish_failed", user_id=user_id, read_seq=read_seq, error=repr(error))
