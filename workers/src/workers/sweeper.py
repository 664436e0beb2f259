"""The floor under ARQ: every two seconds, what the ledger says and Redis does not know is put right.

- A lease that ran out: its worker died or froze. The job is queued again, or dead after too many attempts.
- A job that is due and has no entry in Redis (flushed, restored, the enqueue was lost): the entry is written again.

Every worker of the first queue sweeps, for all queues; rows and entries are such that two sweeps at once do no harm.
"""

import random
from collections.abc import Mapping
from itertools import chain
from time import monotonic

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.background import Background
from shared.database import Database
from workers import backlog
from workers.backoff import backoff_s
from workers.burial import bury
from workers.dispatch import Dispatcher
from workers.kinds import Kind, attempts_of
from workers.ledger import Claim, JobLedger, QueuedJob

log = structlog.get_logger(__name__)

PAGE = 1000
"""Jobs looked at per sweep and queue. What is behind them is due later, and is seen when these are done."""

OVERDUE_S = 0.5
"""A job that is due only now is on its way; asking Redis for it would be noise."""

EXPIRED = "the lease ran out: the worker died or froze"


class Sweeper(Background):
    """Sweeps every `every_s` seconds, from `async with` on until its end; `kinds` bound the tries."""

    def __init__(
        self, *, database: Database, dispatcher: Dispatcher, kinds: Mapping[str, Kind], every_s: float
    ) -> None:
        super().__init__()
        self._database = database
        self._dispatcher = dispatcher
        self._kinds = kinds
        self._every_s = every_s
        self._look_at = 0.0

    def __str__(self) -> str:
        return "sweeper"

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self.sweep()
            with self._resting():
                await self._pause(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 - keeps sweepers apart

    async def sweep(self) -> None:
        """Look once."""
        overdue: list[QueuedJob] = []
        taken: list[list[QueuedJob]] = []
        with suppress_instrumentation():
            async with self._database.transaction() as session:
                ledger = JobLedger(session)
                if await ledger.needs_sweep(overdue_by_s=OVERDUE_S):
                    taken = [await self._take_over(ledger, claim) for claim in await ledger.take_expired(limit=PAGE)]
                    overdue = await self._overdue(ledger)
                if monotonic() >= self._look_at:
                    self._look_at = monotonic() + backlog.LOOK_S
                    await backlog.look(session)
            await self._dispatcher.enqueue(*chain.from_iterable(taken))
        if restored := await self._dispatcher.restore(overdue):
            log.info("jobs_restored", count=restored)

    async def _overdue(self, ledger: JobLedger) -> list[QueuedJob]:
        """Return a page of each queue: a thousand that wait in one must not hide what another has lost.

        A job of an unknown kind stays in the ledger: an entry would only be dropped by the workers of this version.
        A worker of the version that knows it enqueues it.
        """
        pages = []
        for queue in sorted({kind.queue for kind in self._kinds.values()}):
            names = [name for name, kind in self._kinds.items() if kind.queue == queue]
            pages.append(await ledger.overdue(by_s=OVERDUE_S, limit=PAGE, kinds=names))
        return [*chain.from_iterable(pages)]

    async def _take_over(self, ledger: JobLedger, claim: Claim) -> list[QueuedJob]:
        """The first loss is made good at once; after that the job itself is suspected, and has to wait its turn."""
        known = {"job_id": str(claim.job_id), "kind": claim.kind, "attempt": claim.attempt}
        kind = self._kinds.get(claim.kind)
        if claim.attempt >= attempts_of(kind):
            log.error("job_dead", error=EXPIRED, **known)
            return await bury(ledger, claim, kind, error=EXPIRED) or []
        log.warning("job_taken_over", **known)
        pause_s = 0.0 if claim.attempt == 1 else backoff_s(claim.attempt - 1)
        again = await ledger.retry(claim, delay_s=pause_s, error=EXPIRED)
        return [again] if again else []
