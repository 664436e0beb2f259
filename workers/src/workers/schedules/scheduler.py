"""Adds the jobs of due slots. One transaction adds the job and moves the schedule to its next slot.

Every worker of `JOBS_QUEUE` runs a scheduler. The lock on the schedule and the dedupe key ensure one job per slot.
"""

from collections.abc import Sequence

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.background import BackgroundLoop
from shared.db.database import Database
from workers.jobs.repository import JobRepository, QueuedJob
from workers.queue.dispatcher import Dispatcher
from workers.schedules.definitions import ScheduleDefinition
from workers.schedules.repository import ScheduleRepository
from workers.schemas import NewJob

log = structlog.get_logger(__name__)


class Scheduler(BackgroundLoop):
    """Checks for due slots every `every_s` seconds while it runs."""

    def __init__(
        self, *, database: Database, dispatcher: Dispatcher, schedules: Sequence[ScheduleDefinition], every_s: float
    ) -> None:
        super().__init__()
        self._database = database
        self._dispatcher = dispatcher
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._every_s = every_s

    def __str__(self) -> str:
        return "scheduler"

    async def _run(self) -> None:
        await self.register_schedules()
        while not self._stopping.is_set():
            await self.add_due_jobs()
            with self._cancellable():
                await self._pause(self._every_s)

    async def register_schedules(self) -> None:
        """Insert the schedules. A new schedule starts with its next slot."""
        with suppress_instrumentation():
            async with self._database.transaction() as session:
                repository = ScheduleRepository(session=session)
                now = await repository.now()
                for name, schedule in self._schedules.items():
                    await repository.register(name, cron=schedule.cron, next_slot=schedule.slot_after(now))

    async def add_due_jobs(self) -> None:
        """Add one job for each due schedule, that of its latest slot."""
        with suppress_instrumentation():
            async with self._database.transaction() as session:
                added = await self._add_jobs(ScheduleRepository(session=session), JobRepository(session=session))
            await self._dispatcher.enqueue(*added)

    async def _add_jobs(self, schedules: ScheduleRepository, jobs: JobRepository) -> list[QueuedJob]:
        queued: list[QueuedJob] = []
        if not (due_schedules := await schedules.lock_due(self._schedules)):
            return queued
        now = await schedules.now()
        for due in due_schedules:
            schedule = self._schedules[due.name]
            slot = schedule.slot_at(now)
            if due.next_slot < slot:
                log.warning("slots_missed", schedule=due.name, since=due.next_slot.isoformat(), slot=slot.isoformat())
            added = await jobs.add(NewJob(payload=schedule.payload(slot)))
            job_id = added[0].job_id if added else None
            await schedules.record_slot(due, slot=slot, job_id=job_id, next_slot=schedule.slot_after(now))
            queued += added
        return queued
