"""The end of a job that cannot be done: it is dead in the ledger, and what its kind wants to follow is queued."""

import structlog
from pydantic import ValidationError

from workers.kinds import Kind
from workers.ledger import Claim, JobLedger, QueuedJob
from workers.schemas import NewJob

log = structlog.get_logger(__name__)


async def bury(ledger: JobLedger, claim: Claim, kind: Kind | None, *, error: str) -> list[QueuedJob] | None:
    """Bury the job and add what follows, in the ledger's transaction; None where the lease is not ours any more."""
    if not await ledger.bury(claim, error=error):
        return None
    return await ledger.add(*_last_words(claim, kind, error))


def _last_words(claim: Claim, kind: Kind | None, error: str) -> list[NewJob]:
    """Nothing where the payload cannot be read: there is no telling whom to tell. A report is failed by orders then."""
    if kind is None or kind.when_dead is None:
        return []
    try:
        payload = kind.payload.model_validate(claim.payload)
    except ValidationError:
        log.error("job_died_silently", job_id=str(claim.job_id), kind=claim.kind)  # noqa: TRY400 - the error is known
        return []
    return list(kind.when_dead(payload, claim, error))
