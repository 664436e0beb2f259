"""The floor under ARQ: every second, what the ledger says and Redis does not know is put right.

- A lease that ran out: its worker died or froze. The job is queued again, or dead after too many attempts.
- A job that is due and has no entry in Redis (flushed, restored, the enqueue was lost): the entry is written again.

Every worker of the first queue sweeps, for all queues; rows and entries are such that two sweeps at once do no harm.
"""

import random
from collections.abc import Mapping
from itertools import chain
from time import monotonic
from typing import ClassVar

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.background import Background
from shared.database import Database
from workers import backlog
from workers.backoff import backoff_s
from workers.burial import bury
from workers.dispatch import Dispatcher
from workers.kinds import JOBS_QUEUE, Kind, attempts_of
from workers.ledger import Claim, JobLedger, QueuedJob

log = structlog.get_logger(__name__)

PAGE = 1000
"""Jobs looked at per sweep and queue. What is behind them is due later, and is seen when these are done."""

OVERDUE_S = 0.5
"""A job that is due only now is on its way; asking Redis for it would be noise."""

EXPIRED = "the lease ran out: the worker died or froze"


class Sweeper(Background):
    """Sweeps every `every_s` seconds, from `async with` on until its end; `kinds` bound the tries."""

    outages: ClassVar = (OSError, RedisError, DBAPIError, PoolTimeoutError)

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
        with suppress_instrumentation():
            async with self._database.transaction() as session:
                ledger = JobLedger(session)
                taken = [await self._take_over(ledger, claim) for claim in await ledger.take_expired(limit=PAGE)]
            await self._dispatcher.enqueue(*chain.from_iterable(taken))
            if monotonic() >= self._look_at:
                self._look_at = monotonic() + backlog.LOOK_S
                async with self._database.transaction() as session:
                    await backlog.look(session)
            async with self._database.transaction() as session:
                overdue = await self._overdue(JobLedger(session))
        if restored := await self._dispatcher.restore(overdue):
            log.info("jobs_restored", count=restored)

    async def _overdue(self, ledger: JobLedger) -> list[QueuedJob]:
        """A page of each queue: a thousand that wait in one must not hide what another has lost."""
        elsewhere: dict[str, list[str]] = {}
        for name, kind in self._kinds.items():
            if kind.queue != JOBS_QUEUE:
                elsewhere.setdefault(kind.queue, []).append(name)
        here = await ledger.overdue(by_s=OVERDUE_S, limit=PAGE, without=[*chain.from_iterable(elsewhere.values())])
        there = [await ledger.overdue(by_s=OVERDUE_S, limit=PAGE, only=names) for names in elsewhere.values()]
        return [*here, *chain.from_iterable(there)]

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
