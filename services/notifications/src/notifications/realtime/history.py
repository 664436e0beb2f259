"""What a session missed, and how long feeds are. Bounded: a storm of reconnects queues here, not in the pool."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

import structlog

from notifications.realtime import metrics
from notifications.realtime.cache import FeedCache
from notifications.realtime.frames import NotificationFrame
from notifications.repository import FeedRepository
from notifications.schemas import LARGEST_SEQ, FeedState
from shared.database import Database
from shared.store_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

PAGE = 100
CONCURRENT_QUERIES = 4
"""Fewer than the pool has: events and REST must get through."""
CACHE_PATIENCE_S = 0.5


class History:
    """Reads feeds for sockets, each time in a transaction of its own."""

    def __init__(self, *, database: Database, cache: FeedCache) -> None:
        self._database = database
        self._cache = cache
        self._slots = asyncio.Semaphore(CONCURRENT_QUERIES)

    async def states(self, user_ids: Collection[UUID]) -> dict[UUID, FeedState]:
        """The state of each of these feeds, in one query; raises `STORE_ERRORS` if PostgreSQL fails."""
        async with self._slots, self._database.transaction(reserved=True) as session:
            return await FeedRepository(session).states(user_ids)

    async def after(self, user_id: UUID, seq: int) -> Sequence[NotificationFrame]:
        """At most `PAGE` notifications after `seq`, oldest first; raises `STORE_ERRORS` if no store has them."""
        if cached := await self._cached(user_id, seq):
            metrics.pulls.add(1, {"hopline.pull.source": "cache"})
            return cached
        metrics.pulls.add(1, {"hopline.pull.source": "database"})
        return await self._stored(user_id, seq)

    async def _cached(self, user_id: UUID, seq: int) -> Sequence[NotificationFrame]:
        try:
            async with asyncio.timeout(CACHE_PATIENCE_S):
                return await self._cache.after(user_id, seq=seq, limit=PAGE)
        except (*REDIS_ERRORS, ValueError) as error:  # ValueError: an entry of another version of this code
            log.info("feed_cache_missed", user_id=user_id, error=repr(error))
            return []

    async def _stored(self, user_id: UUID, seq: int) -> Sequence[NotificationFrame]:
        async with self._slots, self._database.transaction(reserved=True) as session:
            rows = await FeedRepository(session).after(user_id, seq=seq, head=LARGEST_SEQ, limit=PAGE)
        return [NotificationFrame.of(row) for row in rows]
