"""The operations of customers and the frames of their devices, which a check compares with the snapshot.

Ids are text.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """The actions of a customer, each with the meaning of `Operation.key`."""

    REGISTER = "register"
    """The email address."""

    PLACE = "place"
    """The idempotency key."""

    CANCEL = "cancel"
    """The order's id."""

    READ = "read"
    """The path. The request has no effect, so it can be repeated."""


class Outcome(StrEnum):
    """The result of an operation for the customer."""

    OK = "ok"
    FAILED = "failed"
    """It was rejected and has no effect."""

    INDETERMINATE = "indeterminate"
    """No response, or an error that does not exclude an effect. The operation took effect once or not at all."""


NO_RESPONSE = 0
"""The status of an attempt without a response."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a customer, with all its attempts.

    `responses` has the id of the account or order from each successful response. `traces` has the trace id of each
    attempt, and `statuses` its status. `without_retry_after` has the status of each response with 429 or 503 that has
    no Retry-After header.
    """

    action: Action
    outcome: Outcome
    key: str
    user_id: str = ""
    responses: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    without_retry_after: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One notification frame. `about` is the id of the order or user that the notification is about."""

    seq: int
    id: str
    kind: str
    about: str
    trace_id: str


@dataclass(kw_only=True)
class DeviceLog:
    """All frames of one device in order, over all its connections."""

    name: str
    user_id: str
    frames: list[Frame] = field(default_factory=list)

    @property
    def cursor(self) -> int:
        """The `seq` of the last frame, or 0. The device sends it when it reconnects."""
        return self.frames[-1].seq if self.frames else 0


@dataclass
class History:
    """The history of one run."""

    operations: list[Operation] = field(default_factory=list)
    devices: list[DeviceLog] = field(default_factory=list)

    @property
    def user_ids(self) -> set[str]:
        """Return the ids of all registered accounts: customers, and guests that stay unused."""
        return {operation.user_id for operation in self.operations if operation.user_id}

    def of(self, action: Action, *outcomes: Outcome) -> Iterator[Operation]:
        """Return the operations of an action with one of these outcomes, or with any outcome if none is given."""
        return (
            operation
            for operation in self.operations
            if operation.action is action and (not outcomes or operation.outcome in outcomes)
        )

    def outcomes(self) -> Counter[Outcome]:
        """Return the number of operations by outcome."""
        return Counter(operation.outcome for operation in self.operations)
