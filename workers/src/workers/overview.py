"""What people ask of the ledger; it changes nothing."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from workers.models import Job, JobState


def _span(earlier: Any, later: Any) -> sa.ColumnElement[timedelta]:
    return sa.type_coerce(later - earlier, sa.Interval())


class Count(NamedTuple):
    """Jobs of one kind in one state; `oldest` since it was added."""

    state: str
    kind: str
    jobs: int
    oldest: timedelta
    most_attempts: int


class Shown(NamedTuple):
    """One job: its age since it was added, and in how long it is due (negative: overdue)."""

    id: UUID
    kind: str
    state: str
    attempt: int
    age: timedelta
    due_in: timedelta
    last_error: str | None


class Overview:
    """The ledger as one transaction sees it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def by_state_and_kind(self) -> Sequence[Count]:
        """How many there are, what needs attention first. Reads the whole ledger."""
        order = sa.case({"dead": 0, "running": 1, "queued": 2}, value=Job.state, else_=3)
        rows = (
            sa.select(
                Job.state,
                Job.kind,
                sa.func.count(),
                _span(sa.func.min(Job.created_at), sa.func.now()),
                sa.func.max(Job.attempt),
            )
            .group_by(Job.state, Job.kind)
            .order_by(order, Job.kind)
        )
        return [Count(*row) for row in await self._session.execute(rows)]

    async def unfinished(self, *, limit: int) -> Sequence[Shown]:
        """Those queued or running, the longest due first."""
        return await self._shown(Job.state.in_([JobState.QUEUED, JobState.RUNNING]), by=Job.run_after, limit=limit)

    async def dead(self, *, limit: int) -> Sequence[Shown]:
        """Those given up, the latest first."""
        return await self._shown(Job.state == JobState.DEAD, by=Job.finished_at.desc(), limit=limit)

    async def _shown(self, which: sa.ColumnElement[bool], *, by: Any, limit: int) -> list[Shown]:
        columns = (
            Job.id,
            Job.kind,
            Job.state,
            Job.attempt,
            _span(Job.created_at, sa.func.now()),
            _span(sa.func.now(), Job.run_after),
        )
        rows = sa.select(*columns, Job.last_error).where(which).order_by(by, Job.id).limit(limit)
        return [Shown(*row) for row in await self._session.execute(rows)]
