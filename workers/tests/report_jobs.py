"""Helpers for tests of reports: run the job of a report, wait for its final status, and list the files."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from testkit.waiting import eventually
from workers.jobs.types import JOB_TYPES, JobType
from workers.models import Job
from workers.reports.schemas import MakeReport
from workers.tasks import make_report

from .factories import report_job
from .harness import Harness

MAKE_REPORT = JOB_TYPES[MakeReport.type_name]


async def run_report_job(
    harness: Harness, report_id: UUID, *, job_type: JobType = MAKE_REPORT, settings: Mapping[str, str] | None = None
) -> Job:
    """Add the job of a report, make one attempt with these settings, and return the job."""
    (queued,) = await harness.add_jobs(report_job(report_id))
    async with harness.open_runner(job_type, **settings or {}) as runner:
        await make_report({"runner": runner}, str(queued.job_id))
    return await harness.get_job(queued.job_id)


def list_files(harness: Harness) -> list[Path]:
    """Return all files in the object store of the harness, also temporary ones."""
    return [path for path in harness.objects.rglob("*") if path.is_file()]


async def wait_for_end(harness: Harness, report_id: UUID) -> str:
    """Wait until the report has a final status, and return the call that set it: `finish` or `fail`."""
    await eventually(lambda: str(report_id) in harness.orders.reports.ends, 30)
    return harness.orders.reports.ends[str(report_id)]
