"""The table of what jobs there are: kind → payload, queue, attempts.

To add one: a payload in `schemas`, a line here, a function of the kind's name in `tasks`, its name in
`main.WorkerSettings.functions`. A new queue needs a worker of its own, so that its long jobs delay no others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers.ledger import Claim
from workers.reports.reasons import fail_with_reason
from workers.reports.schemas import FailReport, MakeReport
from workers.schemas import (
    CleanUp,
    FulfilOrder,
    JobPayload,
    NewJob,
    OrderEmail,
    SalesEmail,
    SummariseSales,
    WelcomeEmail,
)

JOBS_QUEUE = "hopline:jobs"
REPORTS_QUEUE = "hopline:reports"

ATTEMPTS = 20
"""With the pauses of `workers.backoff`, about an hour of a dependency being away, or of a release rolling out."""

REPORT_ATTEMPTS = 8
"""About two minutes: somebody is waiting, and may ask for another report."""
REPORT_TIMEOUT_S = 600.0

LastWords = Callable[[Any, Claim, str], Sequence[NewJob]]
"""Gets the validated payload, the claim and the error of a job that is dead; returns the jobs that follow from that.

They are added in the transaction that buries it, so that nobody waits for a dead job in vain. A job that is replayed
and dies again has a claim with another `lease_token`: what must be said each time has it in its dedupe key.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of job is run: at most `attempts` times, each for at most `timeout_s` seconds.

    `when_dead` says what follows where all of them failed.
    """

    payload: type[JobPayload]
    queue: str = JOBS_QUEUE
    attempts: int = ATTEMPTS
    timeout_s: float = 30.0
    when_dead: LastWords | None = None


KINDS: Mapping[str, Kind] = {
    OrderEmail.kind: Kind(payload=OrderEmail),
    WelcomeEmail.kind: Kind(payload=WelcomeEmail),
    FulfilOrder.kind: Kind(payload=FulfilOrder),
    SummariseSales.kind: Kind(payload=SummariseSales),
    SalesEmail.kind: Kind(payload=SalesEmail),
    CleanUp.kind: Kind(payload=CleanUp, timeout_s=60.0),
    MakeReport.kind: Kind(
        payload=MakeReport,
        queue=REPORTS_QUEUE,
        attempts=REPORT_ATTEMPTS,
        timeout_s=REPORT_TIMEOUT_S,
        when_dead=fail_with_reason,
    ),
    FailReport.kind: Kind(payload=FailReport),
}


def queue_of(kind: str) -> str:
    """Where jobs of this kind wait; an unknown kind goes to the first queue."""
    return KINDS[kind].queue if kind in KINDS else JOBS_QUEUE


def attempts_of(kind: Kind | None) -> int:
    """How often a job is tried; of an unknown kind (None) as often as of most, by whichever workers there are."""
    return kind.attempts if kind else ATTEMPTS
