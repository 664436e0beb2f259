"""What a switch does to a call."""

import asyncio
import random
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from opentelemetry import metrics, trace
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import Unavailable, problem_response

ALL_PERCENT = 100

_suffered = metrics.get_meter(__name__).create_counter(
    "hopline.faults.suffered", unit="{call}", description="Calls that a fault switch touched, by target and kind"
)


class Kind(StrEnum):
    """What goes wrong, and what `Fault.value` says of it."""

    SLOW = "slow"
    """The answer comes `value` milliseconds later."""

    ERRORS = "errors"
    """`value` percent of the calls are answered 503 in the target's name, which is not asked."""

    HANG = "hang"
    """`value` percent of the calls get no answer, however long one waits."""

    DISCONNECT = "disconnect"
    """`value` percent of the calls lose their connection."""

    CRASH = "crash"
    """No call suffers: each process of the target that runs now ends hard where `Fault.at` says, as by kill -9."""


USUAL_VALUE: Final = dict.fromkeys(Kind, ALL_PERCENT) | {Kind.SLOW: 2_000}
"""What a fault is like where nobody says: slower than a page waits, and always."""


class FaultSwitchedOn(Unavailable):
    """503: a fault switch answers in a service's place."""

    slug, title = "fault-switched-on", "A fault switch is on"


class Fault(BaseModel):
    """One switch: calls from `source` to `target` suffer it until then, in each process the first `times` of them.

    A crash is at the crash point `at` (`shared.crash`), its source is its target. `since` is when it was switched on:
    who began to run later is spared, so that nobody dies of the same switch again.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    kind: Kind
    value: int
    until: datetime
    times: int | None = None
    at: str | None = None
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def is_over(self) -> bool:
        """Whether its time is over."""
        return datetime.now(UTC) >= self.until

    def strikes(self) -> bool:
        """Whether it touches the next call."""
        if self.is_over():
            return False
        return self.kind is Kind.SLOW or random.uniform(0, ALL_PERCENT) < self.value  # noqa: S311 - guards nothing


async def suffer(fault: Fault) -> bool:
    """Let a call suffer; True where it is answered by `answer_of` and must not be made.

    The current span says so (`hopline.fault`). Raises ConnectionResetError for a lost connection; where the target
    hangs, this does: bound the call.
    """
    _suffered.add(1, {"service.peer.name": fault.target, "hopline.fault": fault.kind})
    trace.get_current_span().set_attribute("hopline.fault", fault.kind)
    if fault.kind is Kind.SLOW:
        await asyncio.sleep(fault.value / 1000)
        return False
    if fault.kind is Kind.HANG:
        await asyncio.Event().wait()
    if fault.kind is Kind.DISCONNECT:
        raise ConnectionResetError(f"a fault switch took the connection to {fault.target}")
    return True


def answer_of(fault: Fault, *, path: str) -> bytes:
    """The problem that stands for the target's answer; its status is 503."""
    problem = FaultSwitchedOn(f"Calls from {fault.source} to {fault.target} fail until {fault.until:%H:%M:%S} UTC")
    return bytes(problem_response(problem, instance=path).body)
