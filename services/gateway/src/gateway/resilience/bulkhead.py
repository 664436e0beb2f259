"""A bulkhead limits the concurrent calls to one service or endpoint, so that a slow one cannot occupy the gateway."""

import asyncio
from types import TracebackType
from typing import NoReturn

from gateway.errors import UpstreamBusyError
from gateway.resilience import metrics
from shared.context import MAX_TIMEOUT_S, limit_wait


class Bulkhead:
    """An async context manager for each call. At most `max_concurrent` calls are in flight, and the same number wait.

    The queue of waiting calls absorbs bursts. In a longer queue, calls would wait beyond the timeouts of their clients.
    Entering raises UpstreamBusyError if the queue is full, or if the call still waits shortly before its deadline.
    """

    def __init__(self, *, name: str, max_concurrent: int) -> None:
        self._name = name
        self.max_concurrent = max_concurrent
        self._slots = asyncio.Semaphore(max_concurrent)
        self._in_flight = 0
        self._waiting = 0

    @property
    def in_flight(self) -> int:
        """The number of calls that are in flight."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """The number of calls that wait for a slot."""
        return self._waiting

    async def __aenter__(self) -> None:
        """Take a slot, or wait for one."""
        if self._in_flight < self.max_concurrent and not self._waiting:
            await self._slots.acquire()  # returns without waiting
        else:
            await self._wait_for_slot()
        self._in_flight += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Pass the slot to the call that has waited longest."""
        self._in_flight -= 1
        self._slots.release()

    async def _wait_for_slot(self) -> None:
        if self._waiting >= self.max_concurrent:
            self._reject()
        self._waiting += 1
        try:
            async with asyncio.timeout(limit_wait(MAX_TIMEOUT_S)) as timeout:
                await self._slots.acquire()
        except TimeoutError:
            if timeout.expired():
                self._reject()
            raise
        finally:
            self._waiting -= 1

    def _reject(self) -> NoReturn:
        metrics.record_rejection(self._name, "bulkhead")
        raise UpstreamBusyError(f"{self._name} has too many concurrent calls") from None
