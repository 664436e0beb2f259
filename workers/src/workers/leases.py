"""Keeps the leases of the jobs in hand: one statement per process and beat, however many jobs there are.

A worker that is killed or frozen stops renewing, and the sweeper of any worker gives its jobs to somebody else. A
worker that finds a lease lost stops the job at once: nothing it would write counts any more.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.background import Background
from shared.database import Database
from workers.ledger import JobLedger

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 3
"""Two beats may fail before a lease runs out."""


class Leases(Background):
    """Renews what is `held`, from `async with` on until its end."""

    def __init__(self, *, database: Database, lease_s: float) -> None:
        super().__init__()
        self._database = database
        self.lease_s = lease_s
        self._held: dict[UUID, asyncio.Task[object]] = {}

    def __str__(self) -> str:
        return "leases"

    @contextmanager
    def held(self, lease_token: UUID, work: asyncio.Task[object]) -> Iterator[None]:
        """Inside the block the lease is renewed; `work` is cancelled where it turns out to be lost."""
        self._held[lease_token] = work
        try:
            yield
        finally:
            del self._held[lease_token]

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if self._held:
                await self._beat()
            with self._resting():
                await self._pause(self.lease_s / BEATS_PER_LEASE)

    async def _beat(self) -> None:
        tokens = list(self._held)
        with suppress_instrumentation():
            async with self._database.transaction(reserved=True) as session:
                kept = await JobLedger(session).renew(tokens, lease_s=self.lease_s)
        for token in tokens:
            if token not in kept and (work := self._held.get(token)):
                work.cancel()
