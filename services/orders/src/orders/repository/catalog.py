"""Products and their stock.

Every change of stock locks its products in the order of their skus before it touches the first: two orders that share
products wait for each other and never deadlock. A lock is held until the commit, a few milliseconds.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from orders.models import Product
from orders.schemas import StockLevel
from shared.driver import DriverStatement

RESERVE: Final = DriverStatement(
    text("""
    WITH wanted AS (
        SELECT * FROM unnest(CAST(:skus AS text[]), CAST(:quantities AS integer[])) AS line (sku, quantity)
    ), locked AS (
        SELECT product.*, wanted.quantity
        FROM product JOIN wanted USING (sku)
        ORDER BY product.sku
        FOR UPDATE OF product
    ), reserved AS (
        UPDATE product
        SET stock = locked.stock, reserved = locked.reserved + locked.quantity, stock_version = locked.stock_version + 1
        FROM locked
        WHERE product.sku = locked.sku AND locked.stock - locked.reserved >= locked.quantity
    )
    SELECT sku, name, unit_price_cents, stock - reserved AS available, stock_version FROM locked
    """).execution_options(span=True)
)
"""One round trip. `locked` shows each product as it is once its lock is ours; everything is computed from that.

`product.reserved + …` would be wrong: an UPDATE first builds the new row from what the statement saw when it began,
lets the constraints judge it, and only then notices that the row has changed meanwhile.
"""

SETTLE: Final = text("""
    WITH locked AS (
        SELECT product.*, item.quantity, item.quantity * CAST(:leaving AS integer) AS leaving
        FROM product JOIN order_item AS item USING (sku)
        WHERE item.order_id = :order_id
        ORDER BY product.sku
        FOR UPDATE OF product
    )
    UPDATE product
    SET reserved = locked.reserved - locked.quantity,
        stock = locked.stock - locked.leaving,
        shipped = locked.shipped + locked.leaving,
        stock_version = locked.stock_version + 1
    FROM locked
    WHERE product.sku = locked.sku
    RETURNING product.sku, product.stock - product.reserved AS available, product.stock_version AS version
""")
"""Ends a reservation: with `leaving` = 1 the units leave the warehouse, with 0 they are available again."""


class Offer(NamedTuple):
    """A product at the moment its lock was taken; `available` and `stock_version` are those before the reservation."""

    sku: str
    name: str
    unit_price_cents: int
    available: int
    stock_version: int

    def less(self, quantity: int) -> StockLevel:
        """Return the stock level after the reservation of `quantity` units."""
        return StockLevel(sku=self.sku, available=self.available - quantity, version=self.stock_version + 1)


class CatalogRepository:
    """Reads products and moves their stock, in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def page(self, *, limit: int, after_sku: str | None) -> Sequence[Product]:
        """Return at most `limit` products by sku, those above `after_sku`."""
        query = select(Product).order_by(Product.sku).limit(limit)
        if after_sku is not None:
            query = query.where(Product.sku > after_sku)
        return (await self._session.scalars(query)).all()

    async def find(self, sku: str) -> Product | None:
        """Return the product, or None."""
        return await self._session.get(Product, sku)

    async def reserve(self, quantities: Mapping[str, int]) -> dict[str, Offer]:
        """Reserve what is available in the asked quantity; return each product by its sku.

        Unknown skus are missing from the answer, and of a product with less than was asked for nothing is reserved:
        the caller compares, and rolls everything back by raising.
        """
        rows = await RESERVE.fetch(self._session, skus=list(quantities), quantities=list(quantities.values()))
        return {offer.sku: offer for offer in (Offer(*row) for row in rows)}

    async def settle(self, order_id: UUID, *, shipped: bool) -> list[StockLevel]:
        """End the reservation of `order_id` and return the stock levels of its products.

        The caller holds the order's lock and does this once in its life.
        """
        rows = await self._session.execute(SETTLE, {"order_id": order_id, "leaving": int(shipped)})
        return [StockLevel.model_validate(row, from_attributes=True) for row in rows]
