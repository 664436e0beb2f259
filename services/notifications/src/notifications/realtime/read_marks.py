"""Read marks that devices send over WebSockets."""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from notifications.realtime.publisher import Publisher
from notifications.repository import FeedRepository
from notifications.service import FeedService
from shared.db.database import Database
from shared.errors.stores import STORE_ERRORS, log_store_failure

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 3.0


class ReadMarks:
    """Stores read marks and publishes them to all devices of the user."""

    def __init__(self, *, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    async def mark_read(self, user_id: UUID, *, up_to: int) -> None:
        """Mark notifications as read up to `up_to`. If PostgreSQL is unavailable, nothing changes.

        The next ping has the stored mark in either case.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S), self._database.transaction() as session:
                result = await FeedService(repository=FeedRepository(session=session)).mark_read(user_id, up_to=up_to)
        except STORE_ERRORS as error:
            log_store_failure(log, "read_not_marked", error, user_id=user_id, up_to=up_to)
            return
        if result.changed:
            await self._publisher.publish_read(user_id, result.state.read_seq)
