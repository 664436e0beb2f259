"""The reason of a failed report that its user sees. The text of an error could reveal internal addresses."""

from collections.abc import Sequence

from workers.errors import DependencyUnavailableError, JobTimeoutError
from workers.jobs.repository import Claim
from workers.reports.schemas import FailReport, MakeReport
from workers.schemas import NewJob

_UNAVAILABLE = "A part of the shop that the report needs was unavailable for too long. Please request a new report."
_UNEXPECTED = "An unexpected error occurred and was logged. Please request a new report, perhaps for a shorter period."

_UNAVAILABLE_ERRORS = (DependencyUnavailableError.__name__, JobTimeoutError.__name__)


def reason_of(error: str) -> str:
    """Return the reason for an error that `workers.jobs.spans.describe` formatted."""
    return _UNAVAILABLE if error.startswith(_UNAVAILABLE_ERRORS) else _UNEXPECTED


def fail_with_reason(payload: MakeReport, _claim: Claim, error: str) -> Sequence[NewJob]:
    """Return the job that marks a report as failed, because a job is retried while orders is unavailable."""
    failure = FailReport(user_id=payload.user_id, report_id=payload.report_id, reason=reason_of(error))
    return [NewJob(payload=failure)]
