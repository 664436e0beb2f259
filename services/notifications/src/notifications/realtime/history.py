"""Missed notifications and the state of feeds. Concurrent queries are limited, so that reconnects queue here."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

import structlog

from notifications.realtime import metrics
from notifications.realtime.cache import FeedCache
from notifications.realtime.frames import NotificationFrame
from notifications.repository import FeedRepository
from notifications.schemas import MAX_SEQ, FeedState
from shared.db.database import Database
from shared.errors.stores import REDIS_ERRORS, is_store_bug

log = structlog.get_logger(__name__)

PAGE = 100
"""Maximum number of notifications of one read."""

MAX_CONCURRENT_QUERIES = 4
"""Fewer than the connections of the pool, so that events and REST requests get connections."""

CACHE_TIMEOUT_S = 0.5
"""After it, PostgreSQL is read instead."""


class History:
    """Reads feeds for sockets. Each read of PostgreSQL is one transaction."""

    def __init__(self, *, database: Database, cache: FeedCache) -> None:
        self._database = database
        self._cache = cache
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_QUERIES)

    async def get_states(self, user_ids: Collection[UUID]) -> dict[UUID, FeedState]:
        """Return the state of these feeds, in one query. Raises `STORE_ERRORS` if PostgreSQL fails."""
        async with self._slots, self._database.transaction(reserved=True) as session:
            return await FeedRepository(session=session).get_states(user_ids)

    async def list_after(self, user_id: UUID, seq: int) -> Sequence[NotificationFrame]:
        """Return at most `PAGE` notifications after `seq`, oldest first. Raises `STORE_ERRORS` if PostgreSQL fails."""
        if cached := await self._list_cached(user_id, seq):
            metrics.pulls.add(1, {"hopline.pull.source": "cache"})
            return cached
        metrics.pulls.add(1, {"hopline.pull.source": "database"})
        return await self._list_stored(user_id, seq)

    async def _list_cached(self, user_id: UUID, seq: int) -> Sequence[NotificationFrame]:
        try:
            async with asyncio.timeout(CACHE_TIMEOUT_S):
                return await self._cache.list_after(user_id, seq=seq, limit=PAGE)
        except (*REDIS_ERRORS, ValueError) as error:  # ValueError: another version of the code wrote the entry
            is_bug = is_store_bug(error)
            write = log.error if is_bug else log.info
            write("feed_cache_missed", user_id=user_id, error=repr(error), exc_info=is_bug)
            return []

    async def _list_stored(self, user_id: UUID, seq: int) -> Sequence[NotificationFrame]:
        async with self._slots, self._database.transaction(reserved=True) as session:
            rows = await FeedRepository(session=session).list_after(user_id, seq=seq, head=MAX_SEQ, limit=PAGE)
        return [NotificationFrame.from_row(row) for row in rows]
