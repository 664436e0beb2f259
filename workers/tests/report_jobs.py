"""Helpers for tests of reports: run the job of a report, wait for its end, and list the files."""

from pathlib import Path
from uuid import UUID

from testkit.waiting import eventually
from workers.jobs.types import JOB_TYPES
from workers.reports.schemas import MakeReport
from workers.tasks import make_report

from .factories import report_job
from .harness import Harness

MAKE_REPORT = JOB_TYPES[MakeReport.type_name]


async def generate(harness: Harness, report_id: UUID) -> None:
    """Run the job of a report once."""
    (queued,) = await harness.add(report_job(report_id))
    async with harness.runner(MAKE_REPORT) as runner:
        await make_report({"runner": runner}, str(queued.job_id))


def files(harness: Harness) -> list[Path]:
    """Return all files in the object store of the harness, also temporary ones."""
    return [path for path in harness.objects.rglob("*") if path.is_file()]


async def wait_for_end(harness: Harness, report_id: UUID) -> str:
    """Wait until the report has ended, and return `finish` or `fail`."""
    await eventually(lambda: str(report_id) in harness.orders.reports.ends, 30)
    return harness.orders.reports.ends[str(report_id)]
