"""The sales of a day."""

from datetime import UTC, date, datetime, time, timedelta

from orders.models import CURRENCY
from orders.repository.sales import SalesRepository
from orders.schemas import DaySales, SoldProduct

MAX_BEST_PRODUCTS = 5


class SalesService:
    """Adds up sales within one transaction."""

    def __init__(self, *, sales: SalesRepository) -> None:
        self._sales = sales

    async def get_day_sales(self, day: date) -> DaySales:
        """Return the sales of the orders placed on a day in UTC, by the status that the orders have now."""
        start = datetime.combine(day, time.min, tzinfo=UTC)
        end = start + timedelta(days=1)
        totals = await self._sales.get_totals(start=start, end=end)
        best = await self._sales.list_best_products(start=start, end=end, limit=MAX_BEST_PRODUCTS)
        return DaySales(
            day=day,
            orders=totals.orders,
            cancelled=totals.cancelled,
            total_cents=totals.total_cents,
            currency=CURRENCY,
            best=[SoldProduct(**product._asdict()) for product in best],
        )
