"""What tests of reports do and see in a world: a report's job run once, its end, and the files there are."""

from pathlib import Path
from uuid import UUID

from testkit.waiting import eventually
from workers.kinds import KINDS
from workers.reports.schemas import MakeReport
from workers.tasks import make_report

from .factories import report_job
from .world import World

MAKE = KINDS[MakeReport.kind]


async def make(world: World, report_id: UUID) -> None:
    """Run the report's job once."""
    (queued,) = await world.add(report_job(report_id))
    async with world.runner(MAKE) as runner:
        await make_report({"runner": runner}, str(queued.job_id))


def files(world: World) -> list[Path]:
    """What lies in the world's object store, finished or not."""
    return [path for path in world.objects.rglob("*") if path.is_file()]


async def ended(world: World, report_id: UUID) -> str:
    """How the report ended, once it has."""
    await eventually(lambda: str(report_id) in world.orders.desk.ends, 30)
    return world.orders.desk.ends[str(report_id)]
