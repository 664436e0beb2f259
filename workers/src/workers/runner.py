"""Runs one job: claim, work under a lease, then complete, retry or bury; in one span.

```
ARQ ─ send_order_email(ctx, job_id) ─▶ claim ─▶ function ─▶ complete + follow-up jobs, one transaction ─▶ enqueue those
                                        │         └─ fails ─▶ queued again with a pause, or dead
                                        └─ not queued, not due, claimed by another worker: nothing to do
```
Whatever happens here, ARQ removes its own entry afterwards: the ledger has the job, and the sweeper enqueues it again.
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

from shared.crash import crash_point
from shared.database import Database
from shared.store_errors import DATABASE_ERRORS
from workers.backoff import backoff_s
from workers.burial import bury
from workers.dependencies import Tools
from workers.dispatch import Dispatcher
from workers.errors import DependencyAway, JobFailure, JobImpossible, LeaseLost, OfAYoungerVersion
from workers.kinds import Kind
from workers.leases import Leases
from workers.ledger import Claim, JobLedger, QueuedJob
from workers.schemas import JobPayload, NewJob
from workers.spans import describe, job_span, record_attempt, record_failure

log = structlog.get_logger(__name__)

WRITE_PATIENCE_S = 30.0
"""How long a result waits for a database that is away; after that the job is done once more."""
WRITE_PAUSE_S = 0.25
RELEASE_S = 5.0
"""How long a stopping worker tries to release a job; after that its lease has to run out."""

T = TypeVar("T")
PayloadT = TypeVar("PayloadT", bound=JobPayload)

JobFunction = Callable[[PayloadT, Claim, Tools], Coroutine[Any, Any, Sequence[NewJob]]]
"""Gets the validated payload, the claim and the tools; returns the jobs that follow."""
ArqFunction = Callable[[dict[str, Any], str], Coroutine[Any, Any, None]]


def job(payload: type[PayloadT]) -> Callable[[JobFunction[PayloadT]], ArqFunction]:
    """Make the decorated function an ARQ function of the same name, for jobs with this type of payload.

    ARQ calls it as `function(ctx, job_id)`. It makes one attempt at the job that the ledger has under `job_id`.
    """

    def decorate(function: JobFunction[PayloadT]) -> ArqFunction:
        @wraps(function)
        async def run(ctx: dict[str, Any], job_id: str) -> None:
            runner: Runner = ctx["runner"]
            await runner.run(UUID(job_id), payload.kind, function)

        return run

    return decorate


class Runner:
    """Runs the jobs of `kinds` with `tools`."""

    def __init__(
        self, *, database: Database, leases: Leases, dispatcher: Dispatcher, kinds: Mapping[str, Kind], tools: Tools
    ) -> None:
        self._database = database
        self._leases = leases
        self._dispatcher = dispatcher
        self._kinds = kinds
        self._tools = tools

    async def run(self, job_id: UUID, kind_name: str, function: JobFunction[Any]) -> None:
        """Make one attempt at the job with `function`, if it can be claimed. Raises only CancelledError."""
        claim = await self._claim(job_id, kind_name)
        if claim is None:
            return
        crash_point("job.after_claim")
        kind = self._kinds[kind_name]
        known = {"job_id": str(claim.job_id), "kind": claim.kind, "attempt": claim.attempt}
        with (
            bound_contextvars(request_id=f"job-{claim.job_id}", **known),
            job_span(claim, queue=kind.queue, server=self._dispatcher.server),
        ):
            started, outcome = perf_counter(), "released"
            try:
                outcome = await self._attempt(claim, kind, function)
            finally:
                record_attempt(claim, outcome=outcome, duration_s=perf_counter() - started)

    async def _claim(self, job_id: UUID, kind_name: str) -> Claim | None:
        try:
            with suppress_instrumentation():
                async with self._database.transaction() as session:
                    return await JobLedger(session).claim(job_id, kind=kind_name, lease_s=self._leases.lease_s)
        except DATABASE_ERRORS as error:
            log.warning("claim_failed", job_id=str(job_id), error=describe(error))
            return None

    async def _attempt(self, claim: Claim, kind: Kind, function: JobFunction[Any]) -> str:
        """Bring the attempt to an end in the ledger; how it ended."""
        try:
            await self._do(claim, kind, function)
        except asyncio.CancelledError:
            if _being_stopped():
                await self._release(claim)
                raise
            return _lost()
        except LeaseLost:
            return _lost()
        except Exception as error:  # noqa: BLE001 - a job may raise anything
            return await self._fail(claim, kind, error)
        log.info("job_done", waited_ms=round(claim.waited_s * 1000, 1))
        return "done"

    async def _do(self, claim: Claim, kind: Kind, function: JobFunction[Any]) -> None:
        """Work and complete, under the lease."""
        payload = _understood(claim, kind)
        if payload.user_id:
            bind_contextvars(user_id=str(payload.user_id))
        work = asyncio.create_task(function(payload, claim, self._tools), name=claim.dedupe_key)
        with self._leases.held(claim.lease_token, work):
            try:
                async with asyncio.timeout(kind.timeout_s) as limit:
                    follow_ups = await work
            except TimeoutError as error:
                raise DependencyAway(f"not done within {kind.timeout_s:g} s") if limit.expired() else error from None
            crash_point("job.after_effect")
            await self._complete(claim, follow_ups)

    async def _complete(self, claim: Claim, follow_ups: Sequence[NewJob]) -> None:
        async def complete(ledger: JobLedger) -> list[QueuedJob]:
            if not await ledger.complete(claim):
                raise LeaseLost
            added = await ledger.add(*follow_ups)
            crash_point("job.before_complete")
            return added

        await self._dispatcher.enqueue(*await self._write(complete))

    async def _fail(self, claim: Claim, kind: Kind, error: Exception) -> str:
        """Queue the job again or give it up; "failed" or "dead"."""
        record_failure(error)
        traceback = None if isinstance(error, JobFailure) else error
        if isinstance(error, JobImpossible) or claim.attempt >= kind.attempts:
            followers = await self._write(lambda ledger: bury(ledger, claim, kind, error=describe(error)))
            if followers is None:
                return _lost()
            log.error("job_dead", error=describe(error), exc_info=traceback)
            await self._dispatcher.enqueue(*followers)
            return "dead"
        pause_s = backoff_s(claim.attempt)
        again = await self._write(lambda ledger: ledger.retry(claim, delay_s=pause_s, error=describe(error)))
        if again is None:
            return _lost()
        log.warning("job_failed", error=describe(error), retry_in_s=round(pause_s, 2), exc_info=traceback)
        await self._dispatcher.enqueue(again)
        return "failed"

    async def _release(self, claim: Claim) -> None:
        """The worker stops: let somebody else do it at once. ARQ keeps its entry for a job that was cancelled."""
        try:
            async with asyncio.timeout(RELEASE_S), self._database.transaction() as session:
                await JobLedger(session).release(claim)
            log.info("job_released")
        except DATABASE_ERRORS as error:
            log.warning("release_failed", error=describe(error))

    async def _write(self, change: Callable[[JobLedger], Awaitable[T]]) -> T:
        """Make `change` in a transaction, waiting for a database that is away; fencing makes the repetition safe."""
        give_up_at = monotonic() + WRITE_PATIENCE_S
        while True:
            try:
                async with self._database.transaction() as session:
                    return await change(JobLedger(session))
            except DATABASE_ERRORS as error:
                if monotonic() > give_up_at:
                    raise
                log.warning("ledger_away", error=describe(error))
            await asyncio.sleep(WRITE_PAUSE_S)


def _understood(claim: Claim, kind: Kind) -> JobPayload:
    try:
        return kind.payload.model_validate(claim.payload)
    except ValidationError as error:
        unknown = [str(problem["loc"][0]) for problem in error.errors() if problem["type"] == "extra_forbidden"]
        if unknown:
            raise OfAYoungerVersion(f"no such fields of {claim.kind}: {', '.join(unknown)}") from error
        raise JobImpossible(f"the payload is not one of {claim.kind}: {error}") from error


def _being_stopped() -> bool:
    """Whether this very task was cancelled, by ARQ; a lost lease cancels only the work."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _lost() -> str:
    log.warning("lease_lost")
    return "lost"
