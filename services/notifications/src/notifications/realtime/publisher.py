"""Publishes frames after a commit, to all processes that have sockets of the user.

A lost message only delays a notification until the next heartbeat. A message is a whole frame, so that delivering it
needs no query.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from notifications.realtime.cache import LATE_APPEND, FeedCache
from notifications.realtime.frames import NotificationFrame, ReadMoved, Stock
from shared.errors.stores import REDIS_ERRORS, log_store_failure

log = structlog.get_logger(__name__)

_PREFIX = "notifications:user:"
_ROOM_PREFIX = "notifications:room:"


def user_channel(user_id: UUID) -> str:
    """Return the pub/sub channel of a user."""
    return f"{_PREFIX}{user_id}"


def parse_user_channel(name: str) -> UUID:
    """Return the user of a channel. Raises ValueError for the name of another channel."""
    return UUID(name.removeprefix(_PREFIX))


def room_channel(room: str) -> str:
    """Return the pub/sub channel of a room."""
    return f"{_ROOM_PREFIX}{room}"


def parse_room_channel(name: str) -> str:
    """Return the room of a channel."""
    return name.removeprefix(_ROOM_PREFIX)


class Publisher:
    """Publishes to the channels of users and rooms. Redis errors are only logged, because the change is committed."""

    def __init__(self, *, redis: Redis, cache: FeedCache) -> None:
        self._redis = redis
        self._cache = cache

    async def publish_notification(
        self, user_id: UUID, frame: NotificationFrame, *, stock: Sequence[Stock] = ()
    ) -> None:
        """Cache and publish a notification, and publish the stock levels of its event, in one round trip."""
        body = frame.encode().encode()
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                self._cache.append(pipeline, user_id, frame.seq, body)
                pipeline.publish(user_channel(user_id), body)
                for level in stock:
                    pipeline.publish(room_channel(level.room), level.encode())
                _raise_first_error(await pipeline.execute(raise_on_error=False))
        except REDIS_ERRORS as error:
            log_store_failure(log, "publish_failed", error, user_id=user_id, seq=frame.seq)

    async def publish_read(self, user_id: UUID, read_seq: int) -> None:
        """Publish the read mark to all devices of the user."""
        try:
            await self._redis.publish(user_channel(user_id), ReadMoved(read_seq=read_seq).encode())
        except REDIS_ERRORS as error:
            log_store_failure(log, "publish_failed", error, user_id=user_id, read_seq=read_seq)


def _raise_first_error(responses: Iterable[object]) -> None:
    """Raise the first error of a pipeline. A rejected late append is expected."""
    for response in responses:
        if isinstance(response, RedisError) and LATE_APPEND not in str(response):
            raise response
