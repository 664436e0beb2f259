"""The table of what jobs there are: kind → payload, function, queue, attempts.

To add one: a payload in `schemas`, a function in `tasks`, a line here. A new queue needs a worker of its own that
reads it (`main.worker_settings(queue=…)`), so that its long jobs delay nobody else's.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers import tasks
from workers.dependencies import Tools
from workers.ledger import Claim
from workers.schemas import FulfilOrder, JobPayload, NewJob, OrderEmail, WelcomeEmail

JOBS_QUEUE = "hopline:jobs"

ATTEMPTS = 20
"""With the pauses of `workers.backoff`, about an hour of a dependency being away."""

JobFunction = Callable[[Any, Claim, Tools], Coroutine[Any, Any, Sequence[NewJob]]]
"""Gets the validated payload, the claim and the tools; returns the jobs that follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of job is run: at most `attempts` times, each for at most `timeout_s` seconds."""

    payload: type[JobPayload]
    function: JobFunction
    queue: str = JOBS_QUEUE
    attempts: int = ATTEMPTS
    timeout_s: float = 30.0


KINDS: Mapping[str, Kind] = {
    OrderEmail.kind: Kind(payload=OrderEmail, function=tasks.send_order_email),
    WelcomeEmail.kind: Kind(payload=WelcomeEmail, function=tasks.send_welcome_email),
    FulfilOrder.kind: Kind(payload=FulfilOrder, function=tasks.fulfil_order),
}


def queue_of(kind: str) -> str:
    """Where jobs of this kind wait; an unknown kind goes to the first queue, whose worker buries it."""
    return KINDS[kind].queue if kind in KINDS else JOBS_QUEUE


def attempts_of(kind: str) -> int:
    """After how many attempts such a job is dead."""
    return KINDS[kind].attempts if kind in KINDS else 1
