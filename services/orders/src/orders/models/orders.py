"""The catalog, orders and their keys.

Stock accounting. Every unit of a product that ever came in is in exactly one place:

- available: `stock - reserved`, free to be ordered;
- `reserved`: promised to a live order (placed or packed), still in the warehouse, so part of `stock`;
- `shipped`: gone, no longer part of `stock`.

Hence, at any moment and for each product (`STOCK_VIOLATIONS` asks for the exceptions):

- `reserved` = Σ quantity over the items of live orders,
- `shipped` = Σ quantity over the items of shipped orders,
- `0 ≤ reserved ≤ stock`, held by a constraint, so that no bug above it can oversell,
- `stock + shipped` never changes unless goods arrive.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column, relationship

from orders.models.base import Base, values_of
from orders.states import OrderStatus

CURRENCY: Final = "EUR"
"""The one currency of the catalog: totals can be added up."""

STOCK_VIOLATIONS: Final = """
    SELECT product.sku
    FROM product
    LEFT JOIN (
        SELECT item.sku,
               sum(item.quantity) FILTER (WHERE owner.status IN ('placed', 'packed')) AS live,
               sum(item.quantity) FILTER (WHERE owner.status = 'shipped') AS gone
        FROM order_item AS item JOIN customer_order AS owner ON owner.id = item.order_id
        GROUP BY item.sku
    ) AS held USING (sku)
    WHERE product.reserved <> coalesce(held.live, 0)
       OR product.shipped <> coalesce(held.gone, 0)
       OR product.reserved NOT BETWEEN 0 AND product.stock
"""
"""The products whose counters disagree with the orders; none, at any moment (invariant I8)."""


class Product(Base):
    """One thing for sale; counts are units, the price is in cents.

    `stock_version` grows with each change of the counts, so that a reader of two stock levels knows the newer one.
    """

    __tablename__ = "product"
    __table_args__ = (
        CheckConstraint("unit_price_cents > 0", name="price_positive"),
        CheckConstraint(f"currency = '{CURRENCY}'", name="one_currency"),
        CheckConstraint("reserved BETWEEN 0 AND stock", name="reserved_within_stock"),
        CheckConstraint("shipped >= 0", name="shipped_not_negative"),
    )

    sku: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    unit_price_cents: Mapped[int]
    currency: Mapped[str] = mapped_column(server_default=CURRENCY)
    stock: Mapped[int]
    reserved: Mapped[int] = mapped_column(server_default="0")
    shipped: Mapped[int] = mapped_column(server_default="0")
    stock_version: Mapped[int] = mapped_column(BigInteger, server_default="0")

    @property
    def available(self) -> int:
        """Units that can be ordered now."""
        return self.stock - self.reserved


class Order(Base):
    """What a user ordered; prices and names are those of the moment it was placed (ORDER is a word of SQL's own)."""

    __tablename__ = "customer_order"
    __table_args__ = (
        CheckConstraint("total_cents > 0", name="total_positive"),
        Index("ix_customer_order_user_id_newest", "user_id", "created_at", "id"),
        Index("ix_customer_order_user_id_status_newest", "user_id", "status", "created_at", "id"),
        Index("ix_customer_order_newest", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    status: Mapped[OrderStatus] = mapped_column(values_of(OrderStatus, constraint="status_known"))
    total_cents: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    created_at: Mapped[datetime]

    items: Mapped[list["OrderItem"]] = relationship(order_by="OrderItem.position", lazy="raise", viewonly=True)


class OrderItem(Base):
    """One line of an order; an order has at most one per product."""

    __tablename__ = "order_item"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("customer_order.id"), primary_key=True)
    sku: Mapped[str] = mapped_column(ForeignKey("product.sku"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str]
    quantity: Mapped[int]
    unit_price_cents: Mapped[int]


class IdempotencyKey(Base):
    """The key under which an order was placed, and the answer its retries get, byte by byte.

    The row is written in the order's own transaction: there is no moment with the one and without the other.
    `fingerprint` is the SHA-256 of what was asked for.
    Keys are forgotten by the housekeeping, orders never.
    """

    __tablename__ = "idempotency_key"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("customer_order.id"))
    response: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
