"""A circuit breaker: a failing service is not called for a while, then probed by one call.

::

    closed ── half of the last calls failed ──▶ open ── open_s seconds ──▶ half open ── the probe succeeds ──▶ closed
                                                 ▲                            │
                                                 └────── the probe fails ─────┘

The available packages count a cancelled call as a failure, admit every waiting call as a probe, or require another
event loop (ADR 13).
"""

import math
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import structlog

from gateway.errors import CircuitOpenError
from gateway.resilience import metrics

log = structlog.get_logger(__name__)


class State(StrEnum):
    """A closed circuit admits calls, an open one rejects them, a half open one admits one probe."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Outcome(StrEnum):
    """The result of a call. A cancelled call, and one that shows nothing about the service, is ignored."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


class CircuitBreaker:
    """The circuit of one service. Use `admit` before each call and `record` after it, also if it was cancelled.

    The circuit opens if at least `min_calls` outcomes were recorded in the last `window_s` seconds and `failure_ratio`
    of them are failures; it counts the last `max_calls`. It admits a probe after `open_s` seconds. `clock` returns
    seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        open_s: float,
        window_s: float = 10.0,
        min_calls: int = 10,
        max_calls: int = 100,
        failure_ratio: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._open_s = open_s
        self._window_s = window_s
        self._min_calls = min_calls
        self._failure_ratio = failure_ratio
        self._clock = clock
        self._state = State.CLOSED
        self._generation = 0  # of the state; outcomes of calls from an earlier generation are ignored
        self._calls: deque[tuple[float, bool]] = deque(maxlen=max_calls)
        self._opened_at = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        """The current state. An open circuit becomes half open when it admits a call as the probe."""
        return self._state

    def admit(self) -> int:
        """Admit a call and return the generation to pass to `record`.

        Raises:
            CircuitOpenError: The circuit is open, or half open and another call is the probe.
        """
        if self._state is not State.CLOSED:
            self._admit_probe()
        return self._generation

    def record(self, generation: int, outcome: Outcome) -> None:
        """Record the outcome of a call that was admitted in `generation`."""
        if generation != self._generation:
            return
        if self._state is State.HALF_OPEN:
            self._record_probe(outcome)
        elif outcome is not Outcome.IGNORED:
            self._calls.append((self._clock(), outcome is Outcome.FAILURE))
            if outcome is Outcome.FAILURE and self._is_failing():
                self._open()

    def _admit_probe(self) -> None:
        left_s = self._opened_at + self._open_s - self._clock()
        if self._probing or left_s > 0:
            metrics.record_rejection(self._name, "circuit")
            raise CircuitOpenError(
                f"{self._name} has been failing and is not called for now", retry_after_s=max(math.ceil(left_s), 1)
            )
        if self._state is State.OPEN:
            self._transition(State.HALF_OPEN)
        self._probing = True

    def _record_probe(self, outcome: Outcome) -> None:
        self._probing = False
        if outcome is Outcome.SUCCESS:
            self._calls.clear()
            self._transition(State.CLOSED)
        elif outcome is Outcome.FAILURE:
            self._open()

    def _is_failing(self) -> bool:
        oldest = self._clock() - self._window_s
        while self._calls[0][0] < oldest:
            self._calls.popleft()
        failed = sum(failed for _, failed in self._calls)
        return len(self._calls) >= self._min_calls and failed >= self._failure_ratio * len(self._calls)

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._transition(State.OPEN)

    def _transition(self, state: State) -> None:
        self._state = state
        self._generation += 1
        metrics.record_transition(self._name, state)
        log.warning("circuit_state_changed", upstream=self._name, state=state)
