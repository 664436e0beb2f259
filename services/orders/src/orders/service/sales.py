"""How much was sold."""

from datetime import UTC, date, datetime, time, timedelta

from orders.models import CURRENCY
from orders.repository.sales import SalesRepository
from orders.schemas import DaySales, SoldProduct

BEST = 5
"""Products that are named."""


class Sales:
    """Figures of the shop, within one transaction."""

    def __init__(self, *, sales: SalesRepository) -> None:
        self._sales = sales

    async def of(self, day: date) -> DaySales:
        """The orders placed on that day in UTC, as they are now; cancelled ones are counted and not added up."""
        start = datetime.combine(day, time.min, tzinfo=UTC)
        end = start + timedelta(days=1)
        totals = await self._sales.totals(start=start, end=end)
        best = await self._sales.best(start=start, end=end, limit=BEST)
        return DaySales(
            day=day,
            orders=totals.orders,
            cancelled=totals.cancelled,
            total_cents=totals.total_cents,
            currency=CURRENCY,
            best=[SoldProduct(**product._asdict()) for product in best],
        )
