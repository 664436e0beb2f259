"""Marks a job as dead, and adds the follow-up jobs of its type."""

import structlog
from pydantic import ValidationError

from workers.jobs.repository import Claim, JobRepository, QueuedJob
from workers.jobs.types import JobType
from workers.schemas import NewJob

log = structlog.get_logger(__name__)


async def dead_letter(
    jobs: JobRepository, claim: Claim, job_type: JobType | None, *, error: str
) -> list[QueuedJob] | None:
    """Mark the job as dead and add its follow-up jobs in the transaction of `jobs`.

    Return the follow-up jobs, or None if the lease is lost.
    """
    if not await jobs.dead_letter(claim, error=error):
        return None
    return await jobs.add(*_follow_ups(claim, job_type, error))


def _follow_ups(claim: Claim, job_type: JobType | None, error: str) -> list[NewJob]:
    """Return the follow-up jobs. There are none if the payload is invalid, because they need its fields."""
    if job_type is None or job_type.on_dead_letter is None:
        return []
    try:
        payload = job_type.payload.model_validate(claim.payload)
    except ValidationError:
        log.error("job_died_silently", job_id=str(claim.job_id), kind=claim.type_name)  # noqa: TRY400 - the error is known
        return []
    return list(job_type.on_dead_letter(payload, claim, error))
