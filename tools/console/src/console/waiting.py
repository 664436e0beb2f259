"""Waiting for what comes by itself, never for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from console.failures import FailedError
from console.tree import Tree

_POLL_SECONDS = 0.25

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what, in seconds."""

    ready: float = 15.0  # a process that was just killed is back by then
    pushes: float = 60.0
    report: float = 60.0
    emails: float = 30.0
    trace: float = 45.0
    settled: float = 2.0  # longer than an exporter keeps a batch: what has not come by then is not part of it


class Settling:
    """Tells when a growing trace is done: it hangs together, every service is in it, and nothing came for a while."""

    def __init__(self, services: frozenset[str], seconds: float) -> None:
        self._services = services
        self._seconds = seconds
        self._spans = 0
        self._since = 0.0

    def saw(self, tree: Tree, now: float) -> bool:
        """Note what is there now (seconds on any clock that only moves forward) and tell whether that is all."""
        spans = len(tree.spans())
        if spans != self._spans:
            self._spans, self._since = spans, now
        return tree.is_whole and self._services.issubset(tree.services()) and now - self._since >= self._seconds


async def until(probe: Callable[[], Awaitable[T | None]], seconds: float, otherwise: str) -> T:
    """Return what the probe finds; raises FailedError, beginning with `otherwise`, when it finds nothing in time."""
    deadline = time.monotonic() + seconds
    while True:
        if (found := await probe()) is not None:
            return found
        if time.monotonic() > deadline:
            raise FailedError(f"{otherwise} after {seconds:g} s: see make status and make logs")
        await asyncio.sleep(_POLL_SECONDS)
