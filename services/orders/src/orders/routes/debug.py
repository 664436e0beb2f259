"""A comparison of three loading strategies that shows the N+1 problem. Served in development only."""

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
from shared.db.database import Database
from shared.db.statements import DatabaseCost
from shared.validation.numbers import DIGITS

debug_router = APIRouter(prefix="/debug", tags=["debug"], include_in_schema=False)

ITEMS_PER_ORDER = 3
_USER_ID = UUID(int=0)
"""The owner of the orders of the comparison, which are rolled back."""

_INSERT_ORDERS = sa.text(f"""
    WITH placed AS (
        INSERT INTO customer_order (id, user_id, status, total_cents, currency, created_at)
        SELECT gen_random_uuid(), :user_id, 'placed', 1290, 'EUR', now() - n * interval '1 second'
        FROM generate_series(1, :rows) AS n
        RETURNING id
    )
    INSERT INTO order_item (order_id, sku, name, quantity, unit_price_cents, position)
    SELECT placed.id, product.sku, product.name, 1, product.unit_price_cents, product.position
    FROM placed, (
        SELECT *, row_number() OVER (ORDER BY sku) AS position FROM product ORDER BY sku LIMIT {ITEMS_PER_ORDER}
    ) AS product
""")  # noqa: S608 - a constant

LOADER_OPTIONS: dict[str, Callable[[], ORMOption]] = {
    "lazyload": lambda: lazyload(Order.items),
    "selectinload": lambda: selectinload(Order.items),
    "joinedload": lambda: joinedload(Order.items),
}


class LoadingCost(BaseModel):
    """The cost of one loading strategy. `statements` counts those sent to the database."""

    statements: int
    milliseconds: float
    orders: int
    items: int


@debug_router.get("/n-plus-one")
async def compare_loading(
    request: Request, rows: Annotated[int, Query(ge=1, le=1000), DIGITS] = 100
) -> dict[str, LoadingCost]:
    """Load `rows` orders with their items by `lazyload`, `selectinload` and `joinedload`.

    The orders are inserted for the comparison and rolled back. The models declare `lazy="raise"`, so a missing loader
    option raises an error in the other routes.
    """
    database: Database = request.app.state.database
    async with database.sessions() as session:
        await session.execute(_INSERT_ORDERS, {"user_id": _USER_ID, "rows": rows})
        return {name: await session.run_sync(_load, option()) for name, option in LOADER_OPTIONS.items()}


def _load(session: Session, option: ORMOption) -> LoadingCost:
    """Load the orders with a loader option and read all items."""
    session.expunge_all()
    newest = sa.select(Order).where(Order.user_id == _USER_ID).order_by(Order.created_at.desc()).options(option)
    started = perf_counter()
    with DatabaseCost() as cost:
        orders = session.scalars(newest).unique().all()
        items = sum(len(order.items) for order in orders)
    milliseconds = round((perf_counter() - started) * 1000, 1)
    return LoadingCost(statements=cost.queries, milliseconds=milliseconds, orders=len(orders), items=items)
