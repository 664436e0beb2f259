"""What was sold, added up."""

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

BEST: Final = text("""
    SELECT item.sku, min(item.name) AS name, sum(item.quantity)::bigint AS quantity,
           sum(item.quantity::bigint * item.unit_price_cents)::bigint AS total_cents
    FROM customer_order AS sold JOIN order_item AS item ON item.order_id = sold.id
    WHERE sold.created_at >= :start AND sold.created_at < :end AND sold.status <> 'cancelled'
    GROUP BY item.sku
    ORDER BY total_cents DESC, item.sku
    LIMIT :limit
""")


class Totals(NamedTuple):
    """Of one period: live and shipped orders and what they cost together, and how many were cancelled."""

    orders: int
    cancelled: int
    total_cents: int


class Sold(NamedTuple):
    """One product in that period."""

    sku: str
    name: str
    quantity: int
    total_cents: int


class SalesRepository:
    """Adds up orders by when they were placed, within the session's transaction. Each call reads the period."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def totals(self, *, start: datetime, end: datetime) -> Totals:
        """Orders placed from `start` until before `end`."""
        row = (await self._session.execute(TOTALS, {"start": start, "end": end})).one()
        return Totals(*row)

    async def best(self, *, start: datetime, end: datetime, limit: int) -> Sequence[Sold]:
        """The products that brought most in, first the best."""
        rows = await self._session.execute(BEST, {"start": start, "end": end, "limit": limit})
        return [Sold(*row) for row in rows]
