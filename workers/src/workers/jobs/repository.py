"""All SQL that changes jobs. Each state transition is one compare-and-set statement that uses PostgreSQL's clock.

ARQ may lose an entry or deliver it twice. The table guarantees that at most one claim of a job is valid at a time, and
that a job completes once.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging import TraceContext
from shared.validation.text import storable_text
from workers.models import Email, Job, JobState
from workers.schemas import NewJob

EARLY_S = 0.1
"""Tolerance in seconds for early claims, because ARQ uses the clock of the worker and the table that of PostgreSQL."""

MAX_ERROR_LENGTH = 2000
"""Maximum number of stored characters of an error."""

_now = sa.func.now()

_NEEDS_SWEEP = sa.text("""
SELECT EXISTS (SELECT FROM job WHERE state = 'running' AND lease_until < now())
    OR EXISTS (SELECT FROM job WHERE state = 'queued' AND run_after < now() - :overdue)
""").bindparams(sa.bindparam("overdue", type_=sa.Interval))
"""The statement is built once, because an idle worker executes it more often than any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job for the dispatcher. `attempt` is the next attempt, due in `due_in_s` seconds (negative if overdue)."""

    job_id: UUID
    type_name: str
    attempt: int
    due_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claimed job. The claim is valid while the row has this `lease_token`.

    `waited_s` is the time in seconds from when the job was due until it was claimed.
    """

    job_id: UUID
    type_name: str
    dedupe_key: str
    payload: dict[str, Any]
    trace: TraceContext
    attempt: int
    lease_token: UUID
    waited_s: float
    created_at: datetime

    @classmethod
    def of(cls, job: Job, *, lease_token: UUID, waited_s: float = 0.0) -> Self:
        """Return the claim on `job` by `lease_token`."""
        return cls(
            job_id=job.id,
            type_name=job.kind,
            dedupe_key=job.dedupe_key,
            payload=job.payload,
            trace=job.trace,
            attempt=job.attempt,
            lease_token=lease_token,
            waited_s=waited_s,
            created_at=job.created_at,
        )


class JobRepository:
    """Changes of jobs within one transaction, which the caller commits.

    Methods that take a claim change nothing if its lease is lost, and return False or None.
    """

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def add(self, *new_jobs: NewJob) -> list[QueuedJob]:
        """Insert jobs with the current trace context. Return them without those that exist, by their dedupe keys."""
        added = [await self._add(new) for new in new_jobs]
        return [job for job in added if job]

    async def _add(self, new: NewJob) -> QueuedJob | None:
        payload, trace = new.payload, TraceContext.current()
        statement = (
            insert(Job)
            .values(
                id=uuid4(),
                kind=payload.type_name,
                dedupe_key=payload.dedupe_key,
                payload=payload.model_dump(mode="json"),
                traceparent=trace.traceparent,
                tracestate=trace.tracestate,
                baggage=trace.baggage,
                run_after=_now + timedelta(seconds=new.delay_s),
            )
            .on_conflict_do_nothing(index_elements=[Job.dedupe_key])
            .returning(Job.id)
        )
        job_id = await self._session.scalar(statement)
        return (
            QueuedJob(job_id=job_id, type_name=payload.type_name, attempt=1, due_in_s=new.delay_s) if job_id else None
        )

    async def claim(self, job_id: UUID, *, type_name: str, lease_s: float) -> Claim | None:
        """Claim a job of this type, or return None if it is not queued, not due, or claimed by another worker."""
        token = uuid4()
        claimed = (
            sa.update(Job)
            .where(Job.id == job_id, Job.kind == type_name, Job.state == JobState.QUEUED)
            .where(Job.run_after <= _now + timedelta(seconds=EARLY_S))
            .values(
                state=JobState.RUNNING,
                attempt=Job.attempt + 1,
                lease_token=token,
                lease_until=_now + timedelta(seconds=lease_s),
            )
            .returning(Job, sa.extract("epoch", _now - Job.run_after))
        )
        row = (await self._session.execute(claimed)).one_or_none()
        return row and Claim.of(row[0], lease_token=token, waited_s=max(float(row[1]), 0.0))

    async def complete(self, claim: Claim) -> bool:
        """Mark the job as done."""
        return await self._release_lease(claim, state=JobState.DONE, finished_at=_now)

    async def dead_letter(self, claim: Claim, *, error: str) -> bool:
        """Mark the job as dead, until an operator replays it."""
        return await self._release_lease(
            claim, state=JobState.DEAD, finished_at=_now, last_error=storable_text(error)[:MAX_ERROR_LENGTH]
        )

    async def retry(self, claim: Claim, *, delay_s: float, error: str) -> QueuedJob | None:
        """Queue the job again, due in `delay_s` seconds. The attempt counts."""
        run_after = _now + timedelta(seconds=delay_s)
        last_error = storable_text(error)[:MAX_ERROR_LENGTH]
        updated = await self._release_lease(claim, state=JobState.QUEUED, run_after=run_after, last_error=last_error)
        queued = QueuedJob(job_id=claim.job_id, type_name=claim.type_name, attempt=claim.attempt + 1, due_in_s=delay_s)
        return queued if updated else None

    async def release(self, claim: Claim) -> bool:
        """Queue the job again without counting the attempt."""
        return await self._release_lease(claim, state=JobState.QUEUED, attempt=claim.attempt - 1)

    async def renew(self, lease_tokens: Collection[UUID], *, lease_s: float) -> set[UUID]:
        """Extend these leases, and return those that are still valid."""
        renewed = (
            sa.update(Job)
            .where(Job.lease_token.in_(lease_tokens))
            .values(lease_until=_now + timedelta(seconds=lease_s))
            .returning(Job.lease_token)
        )
        return {token for token in await self._session.scalars(renewed) if token}

    async def needs_sweep(self, *, overdue_by_s: float) -> bool:
        """Return whether a lease expired, or a job has been due for `overdue_by_s` seconds without a claim."""
        return bool(await self._session.scalar(_NEEDS_SWEEP, {"overdue": timedelta(seconds=overdue_by_s)}))

    async def take_expired(self, *, limit: int) -> list[Claim]:
        """Claim jobs with an expired lease. The caller retries or dead-letters them in the same transaction.

        The old tokens become invalid. Rows that another sweeper has locked are skipped.
        """
        expired = (
            sa.select(Job)
            .where(Job.state == JobState.RUNNING, Job.lease_until < _now)
            .order_by(Job.lease_until)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claims = []
        for job in await self._session.scalars(expired):
            job.lease_token = uuid4()
            claims.append(Claim.of(job, lease_token=job.lease_token))
        await self._session.flush()
        return claims

    async def list_overdue(self, *, by_s: float, limit: int, type_names: Collection[str]) -> list[QueuedJob]:
        """Return jobs of these types that have been due for `by_s` seconds without a claim, oldest first."""
        statement = (
            sa.select(Job.id, Job.kind, Job.attempt, sa.extract("epoch", Job.run_after - _now))
            .where(Job.state == JobState.QUEUED, Job.run_after < _now - timedelta(seconds=by_s))
            .where(Job.kind.in_(type_names))
            .order_by(Job.run_after, Job.id)
            .limit(limit)
        )
        return [
            QueuedJob(job_id=job_id, type_name=type_name, attempt=attempt + 1, due_in_s=float(due_in_s))
            for job_id, type_name, attempt, due_in_s in await self._session.execute(statement)
        ]

    async def replay(self, job_id: UUID) -> bool:
        """Queue a dead job again with no attempts counted, or return False if the job is not dead."""
        replayed = (
            sa.update(Job)
            .where(Job.id == job_id, Job.state == JobState.DEAD)
            .values(state=JobState.QUEUED, attempt=0, run_after=_now, finished_at=None)
            .returning(Job.id)
        )
        return await self._session.scalar(replayed) is not None

    async def get_state(self, job_id: UUID) -> JobState | None:
        """Return the state of the job, or None if it does not exist."""
        state = await self._session.scalar(sa.select(Job.state).where(Job.id == job_id))
        return JobState(state) if state else None

    async def delete_done(self, *, retention: timedelta, limit: int) -> int:
        """Delete up to `limit` jobs done more than `retention` ago, with their emails. Return the number of jobs."""
        expired = (
            sa.select(Job.dedupe_key)
            .where(Job.state == JobState.DONE, Job.finished_at < _now - retention)
            .order_by(Job.finished_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        keys = (await self._session.scalars(expired)).all()
        await self._session.execute(sa.delete(Email).where(Email.dedupe_key.in_(keys)))
        await self._session.execute(sa.delete(Job).where(Job.dedupe_key.in_(keys)))
        return len(keys)

    async def _release_lease(self, claim: Claim, **values: Any) -> bool:
        """Set `values` and clear the lease. Return False and change nothing if the claim is no longer valid."""
        updated = (
            sa.update(Job)
            .where(Job.id == claim.job_id, Job.lease_token == claim.lease_token)
            .values(lease_token=None, lease_until=None, **values)
            .returning(Job.id)
        )
        return await self._session.scalar(updated) is not None
