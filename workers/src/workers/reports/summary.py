"""Totals of a report. Their memory does not grow with the number of orders."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Final

from workers.reports.schemas import ReportedOrder

CANCELLED: Final = "cancelled"
MAX_DAYS_BY_DAY: Final = 62
MAX_DAYS_BY_WEEK: Final = 400
"""A period of up to `MAX_DAYS_BY_DAY` days is divided into days, and one of up to `MAX_DAYS_BY_WEEK` days into weeks.
Longer periods are divided into months."""
NEWEST: Final = 500
"""Maximum number of listed orders."""


@dataclass(slots=True)
class Sums:
    """Number of orders, and units and cents of the orders that were not cancelled."""

    orders: int = 0
    cancelled: int = 0
    units: int = 0
    total_cents: int = 0

    def add(self, order: ReportedOrder) -> None:
        """Count one order."""
        self.orders += 1
        if order.status == CANCELLED:
            self.cancelled += 1
        else:
            self.units += sum(item.quantity for item in order.items)
            self.total_cents += order.total_cents


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Summary:
    """Totals of `period_from <= created_at < period_to`, by day, week or month in UTC, and of the whole period.

    `now` returns the current time.
    """

    period_from: datetime
    period_to: datetime
    now: Callable[[], datetime] = _utc_now
    currency: str = ""
    all: Sums = field(default_factory=Sums)
    newest: deque[ReportedOrder] = field(default_factory=lambda: deque(maxlen=NEWEST))
    _by_start: dict[date, Sums] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """Return the unit that the period is divided into: day, week or month."""
        days = (self.period_to - self.period_from).days
        return "day" if days <= MAX_DAYS_BY_DAY else "week" if days <= MAX_DAYS_BY_WEEK else "month"

    def add(self, orders: Iterable[ReportedOrder]) -> None:
        """Count these orders. Calls must pass the orders by the time of their placement, oldest first."""
        for order in orders:
            self.currency = order.currency
            self.all.add(order)
            self.newest.append(order)
            start = self._start_of(order.created_at.astimezone(UTC).date())
            self._by_start.setdefault(start, Sums()).add(order)

    def parts(self) -> list[tuple[date, Sums]]:
        """Return the first day and the totals of each day, week or month that has begun, also if it has no orders.

        There is at least one part, even if the clock of this machine is behind the start of the period.
        """
        last = max(self.period_from, min(self.period_to - timedelta(microseconds=1), self.now())).astimezone(UTC).date()
        starts = takewhile(lambda start: start <= last, self._starts())
        return [(start, self._by_start.get(start, Sums())) for start in starts]

    def _starts(self) -> Iterator[date]:
        start = self._start_of(self.period_from.astimezone(UTC).date())
        while True:
            yield start
            start = self._start_of(start + timedelta(days={"day": 1, "week": 7, "month": 31}[self.unit]))

    def _start_of(self, day: date) -> date:
        if self.unit == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.unit == "month" else day
