"""A bulkhead: the callers of one slow service wait for each other, and leave the rest of the gateway to the others."""

import asyncio
from types import TracebackType
from typing import NoReturn

from gateway.errors import UpstreamBusy
from gateway.resilience import metrics
from shared.deadline import LONGEST_S, limit_wait


class Bulkhead:
    """An async context for one call: at most `at_once` inside, and as many waiting.

    Raises UpstreamBusy to the rest, and to one that waits shortly before its deadline. The queue takes up a burst; a
    longer one would only hold what nobody waits for.
    """

    def __init__(self, *, name: str, at_once: int) -> None:
        self._name = name
        self._at_once = at_once
        self._slots = asyncio.Semaphore(at_once)
        self._inside = 0
        self._waiting = 0

    @property
    def inside(self) -> int:
        """How many calls are being made."""
        return self._inside

    async def __aenter__(self) -> None:
        """Take a place, or wait for one."""
        if self._inside < self._at_once and not self._waiting:
            await self._slots.acquire()  # at once
        else:
            await self._queue()
        self._inside += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the place to who has waited longest."""
        self._inside -= 1
        self._slots.release()

    async def _queue(self) -> None:
        if self._waiting >= self._at_once:
            self._refuse()
        self._waiting += 1
        try:
            async with asyncio.timeout(limit_wait(LONGEST_S)) as patience:
                await self._slots.acquire()
        except TimeoutError:
            if patience.expired():
                self._refuse()
            raise
        finally:
            self._waiting -= 1

    def _refuse(self) -> NoReturn:
        metrics.refused(self._name, "bulkhead")
        raise UpstreamBusy(f"{self._name} has as many callers as it can bear") from None
