"""The schedules, each with a name, a cron expression and the job of a slot.

If slots were missed, because no worker ran or the database was unavailable, only the latest one gets a job. The job of
an older slot would be useless, because one cleanup deletes all expired rows and an old sales summary is outdated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from workers.schemas import CleanUp, JobPayload, SummariseSales


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDefinition:
    """A schedule. `cron` has five fields and is in UTC. `payload` returns the payload of the job for a slot.

    A slot is a full minute. The dedupe key of the payload identifies the slot, so that a slot gets at most one job.
    """

    name: str
    cron: str
    payload: Callable[[datetime], JobPayload]

    def slot_after(self, moment: datetime) -> datetime:
        """Return the first slot after `moment`."""
        return next(CronSim(self.cron, moment.astimezone(UTC)))

    def slot_at(self, moment: datetime) -> datetime:
        """Return the last slot at or before `moment`."""
        after = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        return next(CronSim(self.cron, after, reverse=True))


def _summarise_day_before(slot: datetime) -> SummariseSales:
    return SummariseSales(day=slot.date() - timedelta(days=1))


SCHEDULES: Sequence[ScheduleDefinition] = (
    ScheduleDefinition(name="sales_summary", cron="0 6 * * *", payload=_summarise_day_before),
    ScheduleDefinition(name="clean_up_users", cron="5 * * * *", payload=lambda slot: CleanUp(place="users", slot=slot)),
    ScheduleDefinition(
        name="clean_up_orders", cron="10 * * * *", payload=lambda slot: CleanUp(place="orders", slot=slot)
    ),
    ScheduleDefinition(
        name="clean_up_notifications",
        cron="20 * * * *",
        payload=lambda slot: CleanUp(place="notifications", slot=slot),
    ),
    ScheduleDefinition(
        name="clean_up_workers", cron="25 * * * *", payload=lambda slot: CleanUp(place="workers", slot=slot)
    ),
)
"""Publishers are cleaned up first, because an inbox row can be deleted when no outbox can publish its event again."""
