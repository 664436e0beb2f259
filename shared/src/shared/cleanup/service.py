"""The cleanup tasks of a service, and the service that runs them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from pydantic import AwareDatetime, BaseModel
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.db.database import Database
from shared.messaging import get_acknowledged_seq, prune_dead_letters, prune_inbox, prune_outbox
from shared.validation.times import BoundedTime

log = structlog.get_logger(__name__)

BATCH = 1000
"""Maximum number of rows that a task deletes in one transaction, which takes some tens of milliseconds."""

INBOX_MARGIN = timedelta(hours=1)
"""Inbox rows are kept longer than outbox rows by this margin, because the clocks of databases differ."""

REPLAYED_RETENTION = timedelta(days=30)
"""Retention of replayed and closed dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupLimits:
    """Limits of one run of a task.

    A task deletes at most `limit` rows. No outbox can publish events from before `events_since` again; None if that
    time is unknown.
    """

    limit: int = BATCH
    events_since: datetime | None = None


CleanupTask = Callable[[AsyncSession, CleanupLimits], Awaitable[int]]
"""Deletes expired rows in the transaction of the session, and returns their number."""


class CleanupRequest(BaseModel):
    """`events_since` is the time of the oldest event in the outboxes of all publishers, if it is known."""

    events_since: BoundedTime | None = None


class CleanupResult(BaseModel):
    """Deleted rows per task; `more` means that a task deleted a whole batch, so the request should be repeated."""

    removed: dict[str, int]
    more: bool


class EventsSince(BaseModel):
    """The time of the oldest event that this service could publish again."""

    events_since: AwareDatetime


class CleanupService:
    """Runs the cleanup tasks of a service in order, each in a separate transaction."""

    def __init__(self, *, database: Database, tasks: Mapping[str, CleanupTask], batch: int = BATCH) -> None:
        self._database = database
        self._tasks = tasks
        self._batch = batch

    async def run(self, *, events_since: datetime | None = None) -> CleanupResult:
        """Run each task once. The first exception ends the run."""
        limits = CleanupLimits(limit=self._batch, events_since=events_since)
        removed: dict[str, int] = {}
        for name, task in self._tasks.items():
            async with self._database.transaction() as session:
                removed[name] = await task(session, limits)
        if any(removed.values()):
            log.info("rows_deleted", **removed)
        return CleanupResult(removed=removed, more=self._batch in removed.values())


def outbox_cleanup(*, redis: Redis, stream: str, groups: Sequence[str], retention: timedelta) -> CleanupTask:
    """Return the task that deletes events which all `groups` acknowledged at least `retention` ago."""

    async def delete_acknowledged(session: AsyncSession, limits: CleanupLimits) -> int:
        seq = await get_acknowledged_seq(redis, stream, groups=groups)
        return await prune_outbox(session, acknowledged=seq, retention=retention, limit=limits.limit)

    return delete_acknowledged


async def delete_old_inbox_rows(session: AsyncSession, limits: CleanupLimits) -> int:
    """Delete inbox rows of events that cannot be published again; none if `events_since` is unknown."""
    if limits.events_since is None:
        return 0
    return await prune_inbox(session, before=limits.events_since - INBOX_MARGIN, limit=limits.limit)


async def delete_old_dead_letters(session: AsyncSession, limits: CleanupLimits) -> int:
    """Delete dead letters that were replayed or closed REPLAYED_RETENTION ago. Open ones stay."""
    return await prune_dead_letters(session, retention=REPLAYED_RETENTION, limit=limits.limit)


CONSUMER_TASKS: Mapping[str, CleanupTask] = {"inbox": delete_old_inbox_rows, "dead_letters": delete_old_dead_letters}
"""The tasks of every service that consumes events."""
