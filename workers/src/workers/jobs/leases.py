"""Renews the leases of the running jobs of a process with one statement.

If a worker is killed or frozen, its leases expire and a sweeper queues its jobs again. If a worker finds that a lease
is lost, it cancels the job, because the result would be discarded.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.background import BackgroundLoop
from shared.db.database import Database
from workers.jobs.repository import JobRepository

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 3
"""Renewals in the duration of a lease, if none fails. BackgroundLoop repeats a failed one after at most 2 s."""


class Leases(BackgroundLoop):
    """Renews the leases of jobs that run inside `held`."""

    def __init__(self, *, database: Database, lease_s: float) -> None:
        super().__init__()
        self._database = database
        self.lease_s = lease_s
        self._tasks: dict[UUID, asyncio.Task[object]] = {}

    def __str__(self) -> str:
        return "leases"

    @contextmanager
    def held(self, lease_token: UUID, work: asyncio.Task[object]) -> Iterator[None]:
        """Renew the lease inside the block, and cancel `work` if the lease is lost."""
        self._tasks[lease_token] = work
        try:
            yield
        finally:
            del self._tasks[lease_token]

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if self._tasks:
                await self._renew()
            with self._cancellable():
                await self._pause(self.lease_s / RENEWALS_PER_LEASE)

    async def _renew(self) -> None:
        tokens = list(self._tasks)
        with suppress_instrumentation():
            async with self._database.transaction(reserved=True) as session:
                kept = await JobRepository(session=session).renew(tokens, lease_s=self.lease_s)
        for token in tokens:
            if token not in kept and (work := self._tasks.get(token)):
                work.cancel()
