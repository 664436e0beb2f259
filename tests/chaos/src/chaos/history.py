"""What customers did and what their devices saw: one side of the comparison. Ids are text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What a customer can do; beside each what `Operation.key` is."""

    REGISTER = "register"
    """The email address."""

    PLACE = "place"
    """The idempotency key."""

    CANCEL = "cancel"
    """The order's id."""

    LOOK = "look"
    """The path. It changes nothing, so it is safe to make again."""


class Outcome(StrEnum):
    """How an operation ended, as far as the customer knows."""

    OK = "ok"
    FAILED = "failed"
    """It was refused: it has not happened."""

    INDETERMINATE = "indeterminate"
    """No answer, or an error behind which it may have happened: zero times or once."""


NO_ANSWER = 0
"""Stands for a status where there was none."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing a customer wanted, with all the attempts it took.

    `answers` are the ids that answers gave, one for each that was ok: of the account or the order. `traces` are the
    trace ids of the attempts, `statuses` what they were answered. `without_retry_after` are those of the statuses 429
    and 503 whose responses lacked a Retry-After header.
    """

    action: Action
    outcome: Outcome
    key: str
    user_id: str = ""
    answers: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    without_retry_after: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One notification as it came over a WebSocket; `about` is the id of the order or user."""

    seq: int
    id: str
    kind: str
    about: str
    trace_id: str


@dataclass(kw_only=True)
class DeviceLog:
    """All frames that one device was sent, in that order, over all its connections."""

    name: str
    user_id: str
    frames: list[Frame] = field(default_factory=list)

    @property
    def cursor(self) -> int:
        """Up to where it has seen the feed, which it says when it connects again."""
        return self.frames[-1].seq if self.frames else 0


@dataclass
class History:
    """The record of one run."""

    operations: list[Operation] = field(default_factory=list)
    devices: list[DeviceLog] = field(default_factory=list)

    @property
    def user_ids(self) -> set[str]:
        """Whose customers' record this is."""
        return {operation.user_id for operation in self.operations if operation.user_id}

    def of(self, action: Action, *outcomes: Outcome) -> Iterator[Operation]:
        """The operations of this kind that ended in one of these ways; in any, where none is given."""
        return (
            operation
            for operation in self.operations
            if operation.action is action and (not outcomes or operation.outcome in outcomes)
        )

    def outcomes(self) -> Counter[Outcome]:
        """How many ended how."""
        return Counter(operation.outcome for operation in self.operations)
