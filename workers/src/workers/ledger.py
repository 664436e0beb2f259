"""The job ledger: the only SQL about jobs. Each change of state is one compare-and-set, timed by Postgres' clock.

ARQ may lose an entry or hand it out twice; here a job is claimed by one worker at a time and finished once.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import Trace
from workers.models import Email, Job, JobState
from workers.schemas import NewJob

EARLY_S = 0.1
"""A claim may be this early: ARQ wakes a job by the worker's clock and in milliseconds, the ledger by Postgres'."""

LONGEST_ERROR = 2000
"""Characters of an error that are kept."""

_now = sa.func.now()

_NEEDS_SWEEP = sa.text("""
SELECT EXISTS (SELECT FROM job WHERE state = 'running' AND lease_until < now())
    OR EXISTS (SELECT FROM job WHERE state = 'queued' AND run_after < now() - :overdue)
""").bindparams(sa.bindparam("overdue", type_=sa.Interval))
"""Built once: it is what an idle worker does most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """What the dispatcher needs: `attempt` is the one to come, due in `due_in_s` seconds (negative: overdue)."""

    job_id: UUID
    kind: str
    attempt: int
    due_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that is ours while `lease_token` is the row's. `waited_s`: from when it was due to when it was claimed."""

    job_id: UUID
    kind: str
    dedupe_key: str
    payload: dict[str, Any]
    trace: Trace
    attempt: int
    lease_token: UUID
    waited_s: float
    created_at: datetime

    @classmethod
    def of(cls, job: Job, *, lease_token: UUID, waited_s: float = 0.0) -> Self:
        """The claim on `job` by `lease_token`."""
        return cls(
            job_id=job.id,
            kind=job.kind,
            dedupe_key=job.dedupe_key,
            payload=job.payload,
            trace=job.trace,
            attempt=job.attempt,
            lease_token=lease_token,
            waited_s=waited_s,
            created_at=job.created_at,
        )


class JobLedger:
    """The ledger within one transaction, which the caller commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, *new_jobs: NewJob) -> list[QueuedJob]:
        """Queue jobs that carry the current trace, leaving out those whose dedupe key is known already."""
        added = [await self._add(new) for new in new_jobs]
        return [job for job in added if job]

    async def _add(self, new: NewJob) -> QueuedJob | None:
        payload, trace = new.payload, Trace.current()
        row = (
            insert(Job)
            .values(
                id=uuid4(),
                kind=payload.kind,
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
        job_id = await self._session.scalar(row)
        return QueuedJob(job_id=job_id, kind=payload.kind, attempt=1, due_in_s=new.delay_s) if job_id else None

    async def claim(self, job_id: UUID, *, kind: str, lease_s: float) -> Claim | None:
        """Take a job of that kind that is queued and due; None if it is not, or another worker was faster."""
        token = uuid4()
        claimed = (
            sa.update(Job)
            .where(Job.id == job_id, Job.kind == kind, Job.state == JobState.QUEUED)
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
        """Finish the job; False where the lease is not ours any more, and nothing was changed."""
        return await self._leave(claim, state=JobState.DONE, finished_at=_now)

    async def bury(self, claim: Claim, *, error: str) -> bool:
        """Give up: the job is dead until a person decides; False where the lease is not ours any more."""
        return await self._leave(claim, state=JobState.DEAD, finished_at=_now, last_error=error[:LONGEST_ERROR])

    async def retry(self, claim: Claim, *, delay_s: float, error: str) -> QueuedJob | None:
        """Have the job tried again in `delay_s` seconds; None where the lease is not ours any more."""
        run_after = _now + timedelta(seconds=delay_s)
        left = await self._leave(claim, state=JobState.QUEUED, run_after=run_after, last_error=error[:LONGEST_ERROR])
        again = QueuedJob(job_id=claim.job_id, kind=claim.kind, attempt=claim.attempt + 1, due_in_s=delay_s)
        return again if left else None

    async def release(self, claim: Claim) -> bool:
        """Put the job back as if it had not been claimed; False where the lease is not ours any more."""
        return await self._leave(claim, state=JobState.QUEUED, attempt=claim.attempt - 1)

    async def renew(self, lease_tokens: Collection[UUID], *, lease_s: float) -> set[UUID]:
        """Prolong these leases; those that are still held."""
        renewed = (
            sa.update(Job)
            .where(Job.lease_token.in_(lease_tokens))
            .values(lease_until=_now + timedelta(seconds=lease_s))
            .returning(Job.lease_token)
        )
        return {token for token in await self._session.scalars(renewed) if token}

    async def needs_sweep(self, *, overdue_by_s: float) -> bool:
        """Whether a lease has run out, or a job has been due for `overdue_by_s` seconds without a claim."""
        return bool(await self._session.scalar(_NEEDS_SWEEP, {"overdue": timedelta(seconds=overdue_by_s)}))

    async def take_expired(self, *, limit: int) -> list[Claim]:
        """Take over jobs whose lease has run out, to retry or bury them before the transaction ends.

        The old tokens are worth nothing from then on. Rows that another sweeper is at are left to it.
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

    async def overdue(self, *, by_s: float, limit: int, kinds: Collection[str]) -> list[QueuedJob]:
        """Jobs of these kinds that have been due for `by_s` seconds and that no worker has claimed, oldest first."""
        rows = (
            sa.select(Job.id, Job.kind, Job.attempt, sa.extract("epoch", Job.run_after - _now))
            .where(Job.state == JobState.QUEUED, Job.run_after < _now - timedelta(seconds=by_s))
            .where(Job.kind.in_(kinds))
            .order_by(Job.run_after, Job.id)
            .limit(limit)
        )
        return [
            QueuedJob(job_id=job_id, kind=kind, attempt=attempt + 1, due_in_s=float(due_in_s))
            for job_id, kind, attempt, due_in_s in await self._session.execute(rows)
        ]

    async def replay(self, job_id: UUID) -> bool:
        """Have a dead job tried again from the first attempt on; False where it is not dead (any more)."""
        revived = (
            sa.update(Job)
            .where(Job.id == job_id, Job.state == JobState.DEAD)
            .values(state=JobState.QUEUED, attempt=0, run_after=_now, finished_at=None)
            .returning(Job.id)
        )
        return await self._session.scalar(revived) is not None

    async def state_of(self, job_id: UUID) -> JobState | None:
        """Where the job is; None where there is none."""
        state = await self._session.scalar(sa.select(Job.state).where(Job.id == job_id))
        return JobState(state) if state else None

    async def forget_done(self, *, kept: timedelta, limit: int) -> int:
        """Forget at most `limit` jobs done longer ago than `kept`, with the records of their emails; how many."""
        old = (
            sa.select(Job.dedupe_key)
            .where(Job.state == JobState.DONE, Job.finished_at < _now - kept)
            .order_by(Job.finished_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        keys = (await self._session.scalars(old)).all()
        await self._session.execute(sa.delete(Email).where(Email.dedupe_key.in_(keys)))
        await self._session.execute(sa.delete(Job).where(Job.dedupe_key.in_(keys)))
        return len(keys)

    async def _leave(self, claim: Claim, **values: Any) -> bool:
        """Leave the running state, if the lease is still ours."""
        left = (
            sa.update(Job)
            .where(Job.id == claim.job_id, Job.lease_token == claim.lease_token)
            .values(lease_token=None, lease_until=None, **values)
            .returning(Job.id)
        )
        return await self._session.scalar(left) is not None
