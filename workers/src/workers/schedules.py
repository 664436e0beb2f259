"""What is done regularly: name → when, and the job of a slot.

A slot that was missed, because no worker ran or the database was away, is made up for: the latest one, once. Older
ones are left out, as each slot does all there is to do: a clean-up removes whatever is old by then, and a summary of
last week's Tuesday is worth less than the attention it takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from workers.schemas import CleanUp, JobPayload, SummariseSales


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`cron` has five fields and is meant in UTC; `payload` gets a slot, a whole minute, and gives its job.

    A slot's dedupe key is its payload's: whoever adds it a second time adds nothing.
    """

    name: str
    cron: str
    payload: Callable[[datetime], JobPayload]

    def slot_after(self, moment: datetime) -> datetime:
        """The next slot, later than `moment`."""
        return next(CronSim(self.cron, moment.astimezone(UTC)))

    def slot_at(self, moment: datetime) -> datetime:
        """The latest slot, not later than `moment`."""
        after = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        return next(CronSim(self.cron, after, reverse=True))


def _yesterday(slot: datetime) -> SummariseSales:
    return SummariseSales(day=slot.date() - timedelta(days=1))


SCHEDULES: Sequence[Schedule] = (
    Schedule(name="sales_summary", cron="0 6 * * *", payload=_yesterday),
    Schedule(name="clean_up_users", cron="5 * * * *", payload=lambda slot: CleanUp(place="users", slot=slot)),
    Schedule(name="clean_up_orders", cron="10 * * * *", payload=lambda slot: CleanUp(place="orders", slot=slot)),
    Schedule(
        name="clean_up_notifications",
        cron="20 * * * *",
        payload=lambda slot: CleanUp(place="notifications", slot=slot),
    ),
    Schedule(name="clean_up_workers", cron="25 * * * *", payload=lambda slot: CleanUp(place="workers", slot=slot)),
)
"""Publishers first: what their outboxes have forgotten, the inboxes may."""
