"""Recovers jobs that were lost by a worker or by Redis.

- A lease expired because its worker died, froze or could not renew it: the job is queued again, or dead after its
  last attempt.
- A due job has no entry in Redis, because Redis was flushed or restored or rejected the entry: it is enqueued again.

Every worker of `JOBS_QUEUE` sweeps, for all queues. Concurrent sweeps are safe.
"""

import random
from collections.abc import Mapping
from itertools import chain
from time import monotonic

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.background import BackgroundLoop
from shared.db.database import Database
from workers.jobs import backlog
from workers.jobs.backoff import backoff_s
from workers.jobs.dead_letters import dead_letter
from workers.jobs.repository import Claim, JobRepository, QueuedJob
from workers.jobs.types import JobType, max_attempts
from workers.queue.dispatcher import Dispatcher

log = structlog.get_logger(__name__)

PAGE = 1000
"""Maximum expired leases per sweep, and maximum overdue jobs per sweep and queue. A later sweep reads the others."""

OVERDUE_S = 0.5
"""Time in seconds after which a due job without a claim is checked. Before that, a worker probably claims it."""

EXPIRED = "the lease expired: the worker died, froze or could not renew it"


class Sweeper(BackgroundLoop):
    """Sweeps every `every_s` seconds while it runs. `job_types` are the job types of this version, by name."""

    def __init__(
        self, *, database: Database, dispatcher: Dispatcher, job_types: Mapping[str, JobType], every_s: float
    ) -> None:
        super().__init__()
        self._database = database
        self._dispatcher = dispatcher
        self._job_types = job_types
        self._every_s = every_s
        self._measure_at = 0.0

    def __str__(self) -> str:
        return "sweeper"

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self.sweep()
            with self._cancellable():
                await self._pause(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 - keeps sweepers apart

    async def sweep(self) -> None:
        """Recover expired and lost jobs once, and measure the backlog if that is due."""
        overdue: list[QueuedJob] = []
        taken: list[list[QueuedJob]] = []
        with suppress_instrumentation():
            async with self._database.transaction() as session:
                jobs = JobRepository(session=session)
                if await jobs.needs_sweep(overdue_by_s=OVERDUE_S):
                    taken = [await self._take_over(jobs, claim) for claim in await jobs.take_expired(limit=PAGE)]
                    overdue = await self._list_overdue(jobs)
                if monotonic() >= self._measure_at:
                    self._measure_at = monotonic() + backlog.INTERVAL_S
                    await backlog.measure(session)
            await self._dispatcher.enqueue(*chain.from_iterable(taken))
        if restored := await self._dispatcher.restore(overdue):
            log.info("jobs_restored", count=restored)

    async def _list_overdue(self, jobs: JobRepository) -> list[QueuedJob]:
        """Return a page of overdue jobs per queue, so that a long queue does not hide the lost jobs of another queue.

        Jobs of an unknown type are omitted, because workers of this version would drop their entries. A worker of a
        version that has the type enqueues them.
        """
        pages = []
        for queue in sorted({job_type.queue for job_type in self._job_types.values()}):
            names = [name for name, job_type in self._job_types.items() if job_type.queue == queue]
            pages.append(await jobs.list_overdue(by_s=OVERDUE_S, limit=PAGE, type_names=names))
        return [*chain.from_iterable(pages)]

    async def _take_over(self, jobs: JobRepository, claim: Claim) -> list[QueuedJob]:
        """Queue the job again, or dead-letter it after its last attempt.

        Only the first retry has no delay. If several leases of a job expired, the job itself may be the cause.
        """
        log_fields = {"job_id": str(claim.job_id), "kind": claim.type_name, "attempt": claim.attempt}
        job_type = self._job_types.get(claim.type_name)
        if claim.attempt >= max_attempts(job_type):
            log.error("job_dead", error=EXPIRED, **log_fields)
            return await dead_letter(jobs, claim, job_type, error=EXPIRED) or []
        log.warning("job_taken_over", **log_fields)
        delay_s = 0.0 if claim.attempt == 1 else backoff_s(claim.attempt - 1)
        queued = await jobs.retry(claim, delay_s=delay_s, error=EXPIRED)
        return [queued] if queued else []
