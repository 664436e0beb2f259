"""Forgetting what is no longer needed: each service its own, told when by the workers' schedules.

No service touches another's tables. A service names its chores, `POST /internal/housekeeping` does each of them once,
a bounded batch in a short transaction, and says whether there is more; repeating it is always safe.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from pydantic import AwareDatetime, BaseModel
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Database
from shared.events import acknowledged, prune_inbox, prune_outbox, prune_replayed
from shared.times import BoundedTime

log = structlog.get_logger(__name__)

BATCH = 1000
"""Rows that one chore removes in one transaction: some tens of milliseconds of locks that nobody waits for."""

INBOX_MARGIN = timedelta(hours=1)
"""An inbox is kept so much longer than the outboxes need it: clocks of different databases need not agree."""

REPLAYED_KEPT = timedelta(days=30)
"""How long a dead letter is kept that was replayed or closed, for who asks what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """At most `limit` rows; no outbox can ship an event again that is older than `events_since` (None: not known)."""

    limit: int = BATCH
    events_since: datetime | None = None


Chore = Callable[[AsyncSession, Bounds], Awaitable[int]]
"""Removes within the session's transaction what may go; how much that was."""


class Tidying(BaseModel):
    """What the caller knows: since when events are kept that could come again, by the outboxes of all publishers."""

    events_since: BoundedTime | None = None


class Tidied(BaseModel):
    """What went, by chore; `more`: at least one chore has filled its batch, so ask again."""

    removed: dict[str, int]
    more: bool


class EventsSince(BaseModel):
    """Since when this service keeps events that it could ship again."""

    events_since: AwareDatetime


class Housekeeping:
    """The chores of one service, done in their order; one that fails leaves done what is before it."""

    def __init__(self, *, database: Database, chores: Mapping[str, Chore], batch: int = BATCH) -> None:
        self._database = database
        self._chores = chores
        self._batch = batch

    async def tidy(self, *, events_since: datetime | None = None) -> Tidied:
        """Do each chore once; raises what the first failing one raises."""
        bounds = Bounds(limit=self._batch, events_since=events_since)
        removed: dict[str, int] = {}
        for name, chore in self._chores.items():
            async with self._database.transaction() as session:
                removed[name] = await chore(session, bounds)
        if any(removed.values()):
            log.info("tidied", **removed)
        return Tidied(removed=removed, more=self._batch in removed.values())


def outbox_chore(*, redis: Redis, stream: str, groups: Sequence[str], kept: timedelta) -> Chore:
    """Remove events that all of `groups` have had acknowledged for `kept`; raises RedisError where Redis is away."""

    async def prune(session: AsyncSession, bounds: Bounds) -> int:
        done = await acknowledged(redis, stream, groups=groups)
        return await prune_outbox(session, acknowledged=done, kept=kept, limit=bounds.limit)

    return prune


async def inbox_chore(session: AsyncSession, bounds: Bounds) -> int:
    """Forget applied events that cannot come again; nothing where the caller does not know which those are."""
    if bounds.events_since is None:
        return 0
    return await prune_inbox(session, before=bounds.events_since - INBOX_MARGIN, limit=bounds.limit)


async def dead_letter_chore(session: AsyncSession, bounds: Bounds) -> int:
    """Forget dead letters that were replayed long ago; open ones wait for somebody to decide."""
    return await prune_replayed(session, kept=REPLAYED_KEPT, limit=bounds.limit)


CONSUMING: Mapping[str, Chore] = {"inbox": inbox_chore, "dead_letters": dead_letter_chore}
"""The chores of every service that consumes events."""
