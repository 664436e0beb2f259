"""Waits for conditions, with time limits."""

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
class TimeoutBudget:
    """Time limits in seconds."""

    ready: float = 15.0  # longer than the restart of a killed process
    pushes: float = 60.0
    report: float = 60.0
    emails: float = 30.0
    trace: float = 45.0
    completed: float = 2.0  # without new spans; longer than the batch delay of an exporter


class CompletionDetector:
    """Detects that a trace is complete: `has_ended` is true for it, and it had no new spans for `quiet_seconds`."""

    def __init__(self, has_ended: Callable[[Tree], bool], quiet_seconds: float) -> None:
        self._has_ended = has_ended
        self._quiet_seconds = quiet_seconds
        self._spans = 0
        self._since = 0.0

    def record(self, tree: Tree, now: float) -> bool:
        """Record the tree at the time `now` of a monotonic clock, and return whether it is complete."""
        spans = len(tree.spans())
        if spans != self._spans:
            self._spans, self._since = spans, now
        return self._has_ended(tree) and now - self._since >= self._quiet_seconds


async def until(
    probe: Callable[[], Awaitable[T | None]],
    seconds: float,
    problem: str,
    *,
    advice: str = "see make status and make logs",
) -> T:
    """Return the probe's first result that is not None. Raises FailedError with both texts after the timeout."""
    deadline = time.monotonic() + seconds
    while True:
        if (found := await probe()) is not None:
            return found
        if time.monotonic() > deadline:
            raise FailedError(f"{problem} after {seconds:g} s: {advice}")
        await asyncio.sleep(_POLL_SECONDS)
