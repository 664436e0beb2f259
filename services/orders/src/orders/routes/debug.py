"""The N+1 problem in numbers: the same list of orders, loaded in three ways. Served in development only."""

from collections.abc import Callable
from time import perf_counter
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session, joinedload, lazyload, selectinload
from sqlalchemy.orm.interfaces import ORMOption

from orders.models import Order
from shared.database import Database
from shared.numbers import DIGITS
from shared.statements import database_cost

debug = APIRouter(prefix="/debug", tags=["debug"], include_in_schema=False)

ITEMS = 3
_NOBODY = UUID(int=0)
"""Owner of the orders that exist for the comparison only, and are rolled back."""

_ORDERS = sa.text(f"""
    WITH placed AS (
        INSERT INTO customer_order (id, user_id, status, total_cents, currency, created_at)
        SELECT gen_random_uuid(), :user_id, 'placed', 1290, 'EUR', now() - n * interval '1 second'
        FROM generate_series(1, :rows) AS n
        RETURNING id
    )
    INSERT INTO order_item (order_id, sku, name, quantity, unit_price_cents, position)
    SELECT placed.id, product.sku, product.name, 1, product.unit_price_cents, product.position
    FROM placed, (
        SELECT *, row_number() OVER (ORDER BY sku) AS position FROM product ORDER BY sku LIMIT {ITEMS}
    ) AS product
""")  # noqa: S608 - a constant

LOADING: dict[str, Callable[[], ORMOption]] = {
    "lazyload": lambda: lazyload(Order.items),
    "selectinload": lambda: selectinload(Order.items),
    "joinedload": lambda: joinedload(Order.items),
}


class LoadingCost(BaseModel):
    """What one way of loading took; `statements` are sent to the database, `rows` are read from it as objects."""

    statements: int
    milliseconds: float
    orders: int
    items: int


@debug.get("/n-plus-one")
async def compare_loading(
    request: Request, rows: Annotated[int, Query(ge=1, le=1000), DIGITS] = 100
) -> dict[str, LoadingCost]:
    """Load `rows` orders with their items by `lazyload`, `selectinload` and `joinedload`.

    The orders are inserted for the comparison and rolled back. The models themselves declare `lazy="raise"`, so that
    a forgotten option is an error and not a slow page.
    """
    database: Database = request.app.state.database
    async with database.sessions() as session:
        await session.execute(_ORDERS, {"user_id": _NOBODY, "rows": rows})
        return {way: await session.run_sync(_load, option()) for way, option in LOADING.items()}


def _load(session: Session, option: ORMOption) -> LoadingCost:
    """Load the list in the way of `option`, and touch every item."""
    session.expunge_all()
    newest = sa.select(Order).where(Order.user_id == _NOBODY).order_by(Order.created_at.desc()).options(option)
    started = perf_counter()
    with database_cost() as cost:
        orders = session.scalars(newest).unique().all()
        items = sum(len(order.items) for order in orders)
    milliseconds = round((perf_counter() - started) * 1000, 1)
    return LoadingCost(statements=cost.queries, milliseconds=milliseconds, orders=len(orders), items=items)
