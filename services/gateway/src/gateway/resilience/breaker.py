"""A circuit breaker: a service that fails is left alone for a while, and then asked by one call, not by all.

::

    closed ── half of the last calls failed ──▶ open ── after a while ──▶ half open ── the probe succeeds ──▶ closed
                                                 ▲                            │
                                                 └────── the probe fails ─────┘

Own code, because the packages there are count a caller's cancellation as a failure, or let every waiting call through
as a probe, or need another event loop (ADR 13).
"""

import math
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import structlog

from gateway.errors import CircuitOpen
from gateway.resilience import metrics

log = structlog.get_logger(__name__)


class State(StrEnum):
    """What happens to a call: it goes through, it is refused, or it is the probe (the others are refused)."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Verdict(StrEnum):
    """What a call says about the service; one that was cancelled says nothing."""

    WELL = "well"
    FAILED = "failed"
    NONE = "none"


class Breaker:
    """The circuit to one service. Every call is admitted first and settled in the end, whatever became of it.

    It opens where at least `fewest` calls (and at most `most`) were settled in the last `window_s` seconds and a share
    of `tolerance` of them failed, and lets a probe through after `open_s` seconds. `clock` gives seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        open_s: float,
        window_s: float = 10.0,
        fewest: int = 10,
        most: int = 100,
        tolerance: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._open_s = open_s
        self._window_s = window_s
        self._fewest = fewest
        self._tolerance = tolerance
        self._clock = clock
        self._state = State.CLOSED
        self._era = 0  # of two states: what was admitted in an earlier one has no say in a later one
        self._calls: deque[tuple[float, bool]] = deque(maxlen=most)
        self._opened_at = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        """The state now; an open circuit becomes half open with the first call after its time."""
        return self._state

    def admit(self) -> int:
        """Let a call through and return what `settle` needs; raises CircuitOpen."""
        if self._state is not State.CLOSED:
            self._admit_probe()
        return self._era

    def settle(self, era: int, verdict: Verdict) -> None:
        """Count what became of a call that was admitted in `era`."""
        if era != self._era:
            return
        if self._state is State.HALF_OPEN:
            self._settle_probe(verdict)
        elif verdict is not Verdict.NONE:
            self._calls.append((self._clock(), verdict is Verdict.FAILED))
            if verdict is Verdict.FAILED and self._failing():
                self._open()

    def _admit_probe(self) -> None:
        left_s = self._opened_at + self._open_s - self._clock()
        if self._probing or left_s > 0:
            metrics.refused(self._name, "circuit")
            raise CircuitOpen(
                f"{self._name} has been failing and is not asked for a moment", retry_after_s=max(math.ceil(left_s), 1)
            )
        if self._state is State.OPEN:
            self._turn(State.HALF_OPEN)
        self._probing = True

    def _settle_probe(self, verdict: Verdict) -> None:
        self._probing = False
        if verdict is Verdict.WELL:
            self._calls.clear()
            self._turn(State.CLOSED)
        elif verdict is Verdict.FAILED:
            self._open()

    def _failing(self) -> bool:
        oldest = self._clock() - self._window_s
        while self._calls[0][0] < oldest:
            self._calls.popleft()
        failed = sum(failed for _, failed in self._calls)
        return len(self._calls) >= self._fewest and failed >= self._tolerance * len(self._calls)

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._turn(State.OPEN)

    def _turn(self, state: State) -> None:
        self._state = state
        self._era += 1
        metrics.turned(self._name, state)
        log.warning("circuit_turned", upstream=self._name, state=state)
