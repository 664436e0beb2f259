"""Runs one attempt of a job in one span: claims it, runs its function, then completes, retries or dead-letters it.

```
ARQ ─ send_order_email(ctx, job_id) ─▶ claim ─▶ function ─▶ complete + follow-up jobs, one transaction ─▶ enqueue
                                        │         └─ fails ─▶ queued again with a delay, or dead
                                        └─ not queued, not due, claimed by another worker: nothing to do
```
ARQ removes its own entry after each attempt. A job that is not done is still in the table, and the sweeper enqueues it
again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import wraps
from time import monotonic, perf_counter
from typing import Any, TypeVar
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic import ValidationError
from structlog.contextvars import bind_contextvars, bound_contextvars

from shared.db.database import Database
from shared.errors.stores import DATABASE_ERRORS, is_store_bug, log_store_failure
from shared.faults.crash_points import crash_point
from workers.dependencies import JobContext
from workers.errors import JobError, JobTimeoutError, LeaseLostError, PermanentJobError, UnknownFieldsError
from workers.jobs.backoff import backoff_s
from workers.jobs.dead_letters import dead_letter
from workers.jobs.leases import Leases
from workers.jobs.repository import Claim, JobRepository, QueuedJob
from workers.jobs.spans import describe, job_span, record_attempt, record_failure
from workers.jobs.types import JobType
from workers.queue.dispatcher import Dispatcher
from workers.schemas import JobPayload, NewJob

log = structlog.get_logger(__name__)

WRITE_TIMEOUT_S = 30.0
"""Maximum time in seconds to store a result. After that, the lease expires and the job runs again."""
WRITE_PAUSE_S = 0.25
"""Pause between two attempts to store a result, in seconds."""
RELEASE_TIMEOUT_S = 5.0
"""Maximum time in seconds to release a job at the stop of the worker. After that, the lease has to expire."""

T = TypeVar("T")
PayloadT = TypeVar("PayloadT", bound=JobPayload)

JobFunction = Callable[[PayloadT, Claim, JobContext], Coroutine[Any, Any, Sequence[NewJob]]]
"""Receives the validated payload, the claim and the job context, and returns the follow-up jobs."""
ArqFunction = Callable[[dict[str, Any], str], Coroutine[Any, Any, None]]


def job(payload: type[PayloadT]) -> Callable[[JobFunction[PayloadT]], ArqFunction]:
    """Turn the decorated function into an ARQ function of the same name, for jobs with this type of payload.

    ARQ calls the result as `function(ctx, job_id)`, which makes one attempt of the job.
    """

    def decorate(function: JobFunction[PayloadT]) -> ArqFunction:
        @wraps(function)
        async def run(ctx: dict[str, Any], job_id: str) -> None:
            runner: Runner = ctx["runner"]
            await runner.run(UUID(job_id), payload.type_name, function)

        return run

    return decorate


class Runner:
    """Runs jobs of `job_types` with `context`."""

    def __init__(
        self,
        *,
        database: Database,
        leases: Leases,
        dispatcher: Dispatcher,
        job_types: Mapping[str, JobType],
        context: JobContext,
    ) -> None:
        self._database = database
        self._leases = leases
        self._dispatcher = dispatcher
        self._job_types = job_types
        self._context = context

    async def run(self, job_id: UUID, type_name: str, function: JobFunction[Any]) -> None:
        """Make one attempt at the job with `function`, if it can be claimed.

        Raises:
            CancelledError: The worker stops.
            DBAPIError, OSError: The result cannot be stored. The lease expires, and the job runs again.
        """
        claim = await self._claim(job_id, type_name)
        if claim is None:
            return
        crash_point("job.after_claim")
        job_type = self._job_types[type_name]
        log_fields = {"job_id": str(claim.job_id), "kind": claim.type_name, "attempt": claim.attempt}
        with (
            bound_contextvars(request_id=f"job-{claim.job_id}", **log_fields),
            job_span(claim, queue=job_type.queue, server=self._dispatcher.server),
        ):
            started, outcome = perf_counter(), "lost"
            try:
                outcome = await self._attempt(claim, job_type, function)
            except asyncio.CancelledError:
                outcome = "released" if await self._release(claim) else "lost"
                raise
            finally:
                record_attempt(claim, outcome=outcome, duration_s=perf_counter() - started)

    async def _claim(self, job_id: UUID, type_name: str) -> Claim | None:
        try:
            with suppress_instrumentation():
                async with self._database.transaction() as session:
                    return await JobRepository(session=session).claim(
                        job_id, type_name=type_name, lease_s=self._leases.lease_s
                    )
        except DATABASE_ERRORS as error:
            log_store_failure(log, "claim_failed", error, job_id=str(job_id))
            return None

    async def _attempt(self, claim: Claim, job_type: JobType, function: JobFunction[Any]) -> str:
        """Run the job and store the result. Return the outcome."""
        try:
            await self._work(claim, job_type, function)
        except asyncio.CancelledError:
            if _is_worker_stopping():
                raise
            return _log_lost_lease()
        except LeaseLostError:
            return _log_lost_lease()
        except Exception as error:  # noqa: BLE001 - a job may raise anything
            return await self._fail(claim, job_type, error)
        log.info("job_done", waited_ms=round(claim.waited_s * 1000, 1))
        return "done"

    async def _work(self, claim: Claim, job_type: JobType, function: JobFunction[Any]) -> None:
        """Run the function and complete the job, under the lease."""
        payload = _validate_payload(claim, job_type)
        if payload.user_id:
            bind_contextvars(user_id=str(payload.user_id))
        work = asyncio.create_task(function(payload, claim, self._context), name=claim.dedupe_key)
        with self._leases.held(claim.lease_token, work):
            try:
                async with asyncio.timeout(job_type.timeout_s) as limit:
                    follow_ups = await work
            except TimeoutError as error:
                raise (
                    JobTimeoutError(f"The job exceeded its timeout of {job_type.timeout_s:g} s")
                    if limit.expired()
                    else error
                ) from None
            crash_point("job.after_effect")
            await self._complete(claim, follow_ups)

    async def _complete(self, claim: Claim, follow_ups: Sequence[NewJob]) -> None:
        async def complete(jobs: JobRepository) -> list[QueuedJob]:
            if not await jobs.complete(claim):
                raise LeaseLostError
            added = await jobs.add(*follow_ups)
            crash_point("job.before_complete")
            return added

        await self._dispatcher.enqueue(*await self._write(complete))

    async def _fail(self, claim: Claim, job_type: JobType, error: Exception) -> str:
        """Queue the job again or dead-letter it. Return the outcome: "failed", "dead" or "lost"."""
        record_failure(error)
        traceback = None if isinstance(error, JobError) else error
        if isinstance(error, PermanentJobError) or claim.attempt >= job_type.attempts:
            follow_ups = await self._write(lambda jobs: dead_letter(jobs, claim, job_type, error=describe(error)))
            if follow_ups is None:
                return _log_lost_lease()
            log.error("job_dead", error=describe(error), exc_info=traceback)
            await self._dispatcher.enqueue(*follow_ups)
            return "dead"
        delay_s = backoff_s(claim.attempt)
        queued = await self._write(lambda jobs: jobs.retry(claim, delay_s=delay_s, error=describe(error)))
        if queued is None:
            return _log_lost_lease()
        log.warning("job_failed", error=describe(error), retry_in_s=round(delay_s, 2), exc_info=traceback)
        await self._dispatcher.enqueue(queued)
        return "failed"

    async def _release(self, claim: Claim) -> bool:
        """Queue the job again for another worker. Return False if the lease is lost or the database is unavailable.

        ARQ keeps the entry of a cancelled job, so it needs no new entry.
        """
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S), self._database.transaction() as session:
                released = await JobRepository(session=session).release(claim)
        except DATABASE_ERRORS as error:
            log_store_failure(log, "release_failed", error)
            return False
        if released:
            log.info("job_released")
        return released

    async def _write(self, change: Callable[[JobRepository], Awaitable[T]]) -> T:
        """Make `change` in a transaction, and repeat it while the database is unavailable. The lease makes this safe.

        Raises:
            DBAPIError, OSError: The database rejects the change, or is unavailable for `WRITE_TIMEOUT_S`.
        """
        deadline = monotonic() + WRITE_TIMEOUT_S
        while True:
            try:
                async with self._database.transaction() as session:
                    return await change(JobRepository(session=session))
            except DATABASE_ERRORS as error:
                if is_store_bug(error) or monotonic() > deadline:
                    raise
                log_store_failure(log, "job_result_not_recorded", error)
            await asyncio.sleep(WRITE_PAUSE_S)


def _validate_payload(claim: Claim, job_type: JobType) -> JobPayload:
    try:
        return job_type.payload.model_validate(claim.payload)
    except ValidationError as error:
        unknown = [str(problem["loc"][0]) for problem in error.errors() if problem["type"] == "extra_forbidden"]
        if unknown:
            message = f"Unknown fields in the payload of {claim.type_name}: {', '.join(unknown)}"
            raise UnknownFieldsError(message) from error
        raise PermanentJobError(f"Invalid payload for job type {claim.type_name}: {error}") from error


def _is_worker_stopping() -> bool:
    """Return whether ARQ cancelled this task. A lost lease only cancels the task of the function."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log_lost_lease() -> str:
    """Log that the lease is lost, and return the outcome."""
    log.warning("lease_lost")
    return "lost"
