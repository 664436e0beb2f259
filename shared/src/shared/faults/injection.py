"""The definition of a fault, and its injection into a call."""

import asyncio
import random
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from opentelemetry import metrics, trace
from pydantic import BaseModel, ConfigDict, Field

from shared.errors.problems import UnavailableError, problem_response

ALL_PERCENT = 100

_injected = metrics.get_meter(__name__).create_counter(
    "hopline.faults.suffered", unit="{call}", description="Calls with an injected fault, by target and kind"
)


class FaultKind(StrEnum):
    """The kind of a fault, and the meaning of `Fault.value`."""

    SLOW = "slow"
    """The response is delayed by `value` milliseconds."""

    ERRORS = "errors"
    """`value` percent of the calls get a 503 without being sent."""

    HANG = "hang"
    """`value` percent of the calls never get a response."""

    DISCONNECT = "disconnect"
    """`value` percent of the calls lose their connection."""

    CRASH = "crash"
    """Each running process of the target ends at the crash point `Fault.at`, as by kill -9. Calls are not affected."""


DEFAULT_VALUES: Final = dict.fromkeys(FaultKind, ALL_PERCENT) | {FaultKind.SLOW: 2_000}
"""Defaults of `Fault.value`: all calls, or a delay that is longer than most timeouts."""


class FaultInjectedError(UnavailableError):
    """503: an injected fault replaced the response of a service."""

    slug, title = "fault-switched-on", "An injected fault replaced the response"


class Fault(BaseModel):
    """A fault of the calls from `source` to `target`, until the time `until`.

    `times` limits it to the first calls of each process. A fault of kind CRASH has a crash point `at`, and its source
    is its target. Processes that started after `since` ignore it, so that a restarted process does not end again.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    kind: FaultKind
    value: int
    until: datetime
    times: int | None = None
    at: str | None = None
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def is_over(self) -> bool:
        """Return whether the fault has expired."""
        return datetime.now(UTC) >= self.until

    def matches_next_call(self) -> bool:
        """Return whether to inject the fault into the next call."""
        if self.is_over():
            return False
        return self.kind is FaultKind.SLOW or random.uniform(0, ALL_PERCENT) < self.value  # noqa: S311 - not security


async def inject(fault: Fault) -> bool:
    """Inject `fault` into the current call. Return True if the caller must not send it.

    The response is then `error_body`.

    Sets `hopline.fault` on the current span. HANG never returns, so the caller needs a timeout.

    Raises:
        ConnectionResetError: The fault is DISCONNECT.
    """
    _injected.add(1, {"service.peer.name": fault.target, "hopline.fault": fault.kind})
    trace.get_current_span().set_attribute("hopline.fault", fault.kind)
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.value / 1000)
        return False
    if fault.kind is FaultKind.HANG:
        await asyncio.Event().wait()
    if fault.kind is FaultKind.DISCONNECT:
        raise ConnectionResetError(f"an injected fault closed the connection to {fault.target}")
    return True


def error_body(fault: Fault, *, path: str) -> bytes:
    """Return the body of the injected error response, a problem with status 503."""
    problem = FaultInjectedError(f"Calls from {fault.source} to {fault.target} fail until {fault.until:%H:%M:%S} UTC")
    return bytes(problem_response(problem, instance=path).body)
