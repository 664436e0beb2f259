"""Turns slots into jobs: the row of the schedule moves on in the transaction that adds the slot's job.

Every worker of the first queue does it; a slot becomes one job, whoever comes first.
"""

from collections.abc import Sequence

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.background import Background
from shared.database import Database
from workers.dispatch import Dispatcher
from workers.ledger import JobLedger, QueuedJob
from workers.schedules import Schedule
from workers.schemas import NewJob
from workers.timetable import Timetable

log = structlog.get_logger(__name__)


class Scheduler(Background):
    """Looks every `every_s` seconds whether a slot has come, from `async with` on until its end."""

    def __init__(
        self, *, database: Database, dispatcher: Dispatcher, schedules: Sequence[Schedule], every_s: float
    ) -> None:
        super().__init__()
        self._database = database
        self._dispatcher = dispatcher
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._every_s = every_s

    def __str__(self) -> str:
        return "scheduler"

    async def _run(self) -> None:
        await self.enter()
        while not self._stopping.is_set():
            await self.look()
            with self._resting():
                await self._pause(self._every_s)

    async def enter(self) -> None:
        """Let the schedules be known. The first slot of a new one is its next: what was before it, nobody missed."""
        with suppress_instrumentation():
            async with self._database.transaction() as session:
                timetable = Timetable(session)
                now = await timetable.now()
                for name, schedule in self._schedules.items():
                    await timetable.enter(name, cron=schedule.cron, next_slot=schedule.slot_after(now))

    async def look(self) -> None:
        """Add the jobs of the slots that have come, of each schedule the latest."""
        with suppress_instrumentation():
            async with self._database.transaction() as session:
                added = await self._pass_slots(Timetable(session), JobLedger(session))
            await self._dispatcher.enqueue(*added)

    async def _pass_slots(self, timetable: Timetable, ledger: JobLedger) -> list[QueuedJob]:
        queued: list[QueuedJob] = []
        if not (passed := await timetable.due(self._schedules)):
            return queued
        now = await timetable.now()
        for due in passed:
            schedule = self._schedules[due.name]
            slot = schedule.slot_at(now)
            if due.next_slot < slot:
                log.warning("slots_missed", schedule=due.name, since=due.next_slot.isoformat(), slot=slot.isoformat())
            added = await ledger.add(NewJob(payload=schedule.payload(slot)))
            job_id = added[0].job_id if added else None
            await timetable.pass_slot(due, slot=slot, job_id=job_id, next_slot=schedule.slot_after(now))
            queued += added
        return queued
