"""The job types by name, each with its payload, queue, maximum attempts and timeout.

To add a job type, define its payload in `schemas`, add the type here, and add a function of the same name to `tasks`
and to `main.WorkerSettings.functions`. A new queue requires a separate worker.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers.jobs.repository import Claim
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
"""Maximum attempts. With the delays of `workers.jobs.backoff` they take up to an hour, which covers most outages and
rollouts."""

REPORT_ATTEMPTS = 8
"""Up to two minutes with the delays of `workers.jobs.backoff`, because a user waits and can request another report."""
REPORT_TIMEOUT_S = 600.0

OnDeadLetter = Callable[[Any, Claim, str], Sequence[NewJob]]
"""Receives the validated payload, the claim and the error of a dead job, and returns its follow-up jobs.

They are added in the transaction that marks the job as dead. A replayed job can become dead again, with another
`lease_token`. If a follow-up job must run each time, its dedupe key contains the `lease_token`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType:
    """A job type. Each job has up to `attempts` attempts of up to `timeout_s` seconds.

    `on_dead_letter` returns the follow-up jobs of a dead job.
    """

    payload: type[JobPayload]
    queue: str = JOBS_QUEUE
    attempts: int = ATTEMPTS
    timeout_s: float = 30.0
    on_dead_letter: OnDeadLetter | None = None


JOB_TYPES: Mapping[str, JobType] = {
    OrderEmail.type_name: JobType(payload=OrderEmail),
    WelcomeEmail.type_name: JobType(payload=WelcomeEmail),
    FulfilOrder.type_name: JobType(payload=FulfilOrder),
    SummariseSales.type_name: JobType(payload=SummariseSales),
    SalesEmail.type_name: JobType(payload=SalesEmail),
    CleanUp.type_name: JobType(payload=CleanUp, timeout_s=60.0),
    MakeReport.type_name: JobType(
        payload=MakeReport,
        queue=REPORTS_QUEUE,
        attempts=REPORT_ATTEMPTS,
        timeout_s=REPORT_TIMEOUT_S,
        on_dead_letter=fail_with_reason,
    ),
    FailReport.type_name: JobType(payload=FailReport),
}


def queue_of(type_name: str) -> str:
    """Return the queue of a job type, or `JOBS_QUEUE` if the type is unknown."""
    return JOB_TYPES[type_name].queue if type_name in JOB_TYPES else JOBS_QUEUE


def max_attempts(job_type: JobType | None) -> int:
    """Return the maximum attempts of a job type, or the default if the type is unknown (None)."""
    return job_type.attempts if job_type else ATTEMPTS
