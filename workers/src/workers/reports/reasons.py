"""Why there is no report, in words for its user: an error's own text names our machines."""

from collections.abc import Sequence

from workers.errors import DependencyAway
from workers.ledger import Claim
from workers.reports.schemas import FailReport, MakeReport
from workers.schemas import NewJob

_AWAY = "A part of the shop that the report needs was away for too long. Please ask for a new one."
_UNEXPECTED = "Something unexpected went wrong, and was written down. Please ask for a new one, perhaps a shorter one."


def reason_of(error: str) -> str:
    """The reason for an error as `workers.spans.describe` words it."""
    return _AWAY if error.startswith(DependencyAway.__name__) else _UNEXPECTED


def fail_with_reason(payload: MakeReport, _claim: Claim, error: str) -> Sequence[NewJob]:
    """Return the job that fails a report, so that its user is told, however long orders itself may be away."""
    failure = FailReport(user_id=payload.user_id, report_id=payload.report_id, reason=reason_of(error))
    return [NewJob(payload=failure)]
