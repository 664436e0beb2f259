"""Dead-letters a job that cannot be done, and adds the follow-up jobs of its type."""

import structlog
from pydantic import ValidationError

from workers.jobs.repository import Claim, JobRepository, QueuedJob
from workers.jobs.types import JobType
from workers.schemas import NewJob

log = structlog.get_logger(__name__)


async def dead_letter(
    jobs: JobRepository, claim: Claim, job_type: JobType | None, *, error: str
) -> list[QueuedJob] | None:
    """Make the job dead and add its follow-up jobs in one transaction; return None if the lease is lost."""
    if not await jobs.dead_letter(claim, error=error):
        return None
    return await jobs.add(*_follow_ups(claim, job_type, error))


def _follow_ups(claim: Claim, job_type: JobType | None, error: str) -> list[NewJob]:
    """Return no jobs if the payload is invalid, as its recipient is unknown then."""
    if job_type is None or job_type.on_dead_letter is None:
        return []
    try:
        payload = job_type.payload.model_validate(claim.payload)
    except ValidationError:
        log.error("job_died_silently", job_id=str(claim.job_id), kind=claim.type_name)  # noqa: TRY400 - the error is known
        return []
    return list(job_type.on_dead_letter(payload, claim, error))
