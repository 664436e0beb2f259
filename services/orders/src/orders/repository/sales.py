"""Totals of the orders of a period."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

TOTALS: Final = text("""
    SELECT count(*) FILTER (WHERE status <> 'cancelled') AS orders,
           count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
           coalesce(sum(total_cents) FILTER (WHERE status <> 'cancelled'), 0)::bigint AS total_cents
    FROM customer_order
    WHERE created_at >= :start AND created_at < :end
""")

BEST_PRODUCTS: Final = text("""
    SELECT item.sku, min(item.name) AS name, sum(item.quantity)::bigint AS quantity,
           sum(item.quantity::bigint * item.unit_price_cents)::bigint AS total_cents
    FROM customer_order AS sold JOIN order_item AS item ON item.order_id = sold.id
    WHERE sold.created_at >= :start AND sold.created_at < :end AND sold.status <> 'cancelled'
    GROUP BY item.sku
    ORDER BY total_cents DESC, item.sku
    LIMIT :limit
""")


class SalesTotals(NamedTuple):
    """The number and the total of orders that were not cancelled, and the number of cancelled orders."""

    orders: int
    cancelled: int
    total_cents: int


class ProductSales(NamedTuple):
    """The sales of one product."""

    sku: str
    name: str
    quantity: int
    total_cents: int


class SalesRepository:
    """Adds up the orders placed in `start <= created_at < end`. Each method reads all orders of the period."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def get_totals(self, *, start: datetime, end: datetime) -> SalesTotals:
        """Return the totals of the period."""
        row = (await self._session.execute(TOTALS, {"start": start, "end": end})).one()
        return SalesTotals(*row)

    async def list_best_products(self, *, start: datetime, end: datetime, limit: int) -> Sequence[ProductSales]:
        """Return the products with the largest totals, the largest first."""
        rows = await self._session.execute(BEST_PRODUCTS, {"start": start, "end": end, "limit": limit})
        return [ProductSales(*row) for row in rows]
