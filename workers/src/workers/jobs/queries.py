"""Read-only queries about jobs, for operators."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from workers.models import Job, JobState


def _interval(earlier: Any, later: Any) -> sa.ColumnElement[timedelta]:
    return sa.type_coerce(later - earlier, sa.Interval())


class JobCount(NamedTuple):
    """The jobs of one type in one state. `oldest` is the age of the oldest job."""

    state: str
    type_name: str
    jobs: int
    oldest: timedelta
    most_attempts: int


class JobSummary(NamedTuple):
    """One job. `due_in` is negative if the job was due before now."""

    id: UUID
    type_name: str
    state: str
    attempt: int
    age: timedelta
    due_in: timedelta
    last_error: str | None


class JobQueries:
    """Queries within one transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def count_by_state_and_type(self) -> Sequence[JobCount]:
        """Count the jobs by state and type: dead, running, queued, then done. Reads the whole table."""
        state_order = sa.case({"dead": 0, "running": 1, "queued": 2}, value=Job.state, else_=3)
        statement = (
            sa.select(
                Job.state,
                Job.kind,
                sa.func.count(),
                _interval(sa.func.min(Job.created_at), sa.func.now()),
                sa.func.max(Job.attempt),
            )
            .group_by(Job.state, Job.kind)
            .order_by(state_order, Job.kind)
        )
        return [JobCount(*row) for row in await self._session.execute(statement)]

    async def list_pending(self, *, limit: int) -> Sequence[JobSummary]:
        """Return at most `limit` queued and running jobs, ordered by due time."""
        return await self._list(Job.state.in_([JobState.QUEUED, JobState.RUNNING]), by=Job.run_after, limit=limit)

    async def list_dead(self, *, limit: int) -> Sequence[JobSummary]:
        """Return at most `limit` dead jobs, the latest first."""
        return await self._list(Job.state == JobState.DEAD, by=Job.finished_at.desc(), limit=limit)

    async def _list(self, condition: sa.ColumnElement[bool], *, by: Any, limit: int) -> list[JobSummary]:
        columns = (
            Job.id,
            Job.kind,
            Job.state,
            Job.attempt,
            _interval(Job.created_at, sa.func.now()),
            _interval(sa.func.now(), Job.run_after),
        )
        statement = sa.select(*columns, Job.last_error).where(condition).order_by(by, Job.id).limit(limit)
        return [JobSummary(*row) for row in await self._session.execute(statement)]
