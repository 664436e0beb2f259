"""Products and their stock.

Each statement that changes stock first locks its products in the order of their skus. So two orders that share
products wait for each other and do not deadlock. A lock is held until the commit, a few milliseconds.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from orders.models import Product
from orders.schemas import StockLevel
from shared.db.driver import DriverStatement

RESERVE_STOCK: Final = DriverStatement(
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
"""Lock the products and reserve the available ones in one round trip.

All values come from `locked`, which has each product as it is after its lock was taken. `product.reserved + …` would
be wrong: an UPDATE first computes the new row from the statement's snapshot and checks the constraints, and only then
detects a concurrent change.
"""

END_RESERVATION: Final = text("""
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
"""End the reservation of an order: the units leave the warehouse (`leaving` = 1) or are available again (0)."""


class ReservedProduct(NamedTuple):
    """A product when its lock was taken. `available` and `stock_version` are those before the reservation."""

    sku: str
    name: str
    unit_price_cents: int
    available: int
    stock_version: int

    def stock_level_after(self, quantity: int) -> StockLevel:
        """Return the stock level after the reservation of `quantity` units."""
        return StockLevel(sku=self.sku, available=self.available - quantity, version=self.stock_version + 1)


class CatalogRepository:
    """Reads products and changes their stock in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def list_products(self, *, limit: int, after_sku: str | None) -> Sequence[Product]:
        """Return at most `limit` products above `after_sku`, ordered by sku."""
        query = select(Product).order_by(Product.sku).limit(limit)
        if after_sku is not None:
            query = query.where(Product.sku > after_sku)
        return (await self._session.scalars(query)).all()

    async def find_product(self, sku: str) -> Product | None:
        """Return the product, or None."""
        return await self._session.get(Product, sku)

    async def reserve_stock(self, quantities: Mapping[str, int]) -> dict[str, ReservedProduct]:
        """Reserve each product that has enough available units, and return all known products by sku.

        The caller compares the result with `quantities`. If a product is unknown or has too few units, the caller
        raises, which rolls the reservation back.
        """
        rows = await RESERVE_STOCK.fetch(self._session, skus=list(quantities), quantities=list(quantities.values()))
        return {product.sku: product for product in (ReservedProduct(*row) for row in rows)}

    async def end_reservation(self, order_id: UUID, *, shipped: bool) -> list[StockLevel]:
        """End the reservation of an order and return the stock levels of its products.

        The caller holds the order's lock and calls this once per order.
        """
        rows = await self._session.execute(END_RESERVATION, {"order_id": order_id, "leaving": int(shipped)})
        return [StockLevel.model_validate(row, from_attributes=True) for row in rows]
