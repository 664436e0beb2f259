"""Products, orders and idempotency keys.

Stock accounting. Each unit of a product is counted once:

- available: `stock - reserved`. These units can be ordered.
- `reserved`: units of placed and packed orders. They are in the warehouse and part of `stock`.
- `shipped`: units that have left the warehouse. They are not part of `stock`.

So the following holds for each product after every commit:

- `reserved` = Σ quantity over the items of placed and packed orders.
- `shipped` = Σ quantity over the items of shipped orders.
- `0 ≤ reserved ≤ stock`. A check constraint enforces it, so an error in the code cannot oversell.
- `stock + shipped` changes only if goods arrive.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column, relationship

from orders.models.base import Base, enum_column
from orders.states import OrderStatus

CURRENCY: Final = "EUR"
"""The only currency of the catalog, so that totals can be added."""


class Product(Base):
    """A product of the catalog. Counts are in units and the price is in cents.

    `stock_version` increases with each change of the counts. Of two stock levels the one with the larger version is
    newer.
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
    """An order of a user. Its items keep the names and prices of the time at which it was placed.

    The table is not named `order`, which is a reserved word in SQL.
    """

    __tablename__ = "customer_order"
    __table_args__ = (
        CheckConstraint("total_cents > 0", name="total_positive"),
        Index("ix_customer_order_user_id_newest", "user_id", "created_at", "id"),
        Index("ix_customer_order_user_id_status_newest", "user_id", "status", "created_at", "id"),
        Index("ix_customer_order_newest", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    status: Mapped[OrderStatus] = mapped_column(enum_column(OrderStatus, constraint="status_known"))
    total_cents: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    created_at: Mapped[datetime]

    items: Mapped[list["OrderItem"]] = relationship(order_by="OrderItem.position", lazy="raise", viewonly=True)


class OrderItem(Base):
    """One line of an order. An order has at most one line per product."""

    __tablename__ = "order_item"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("customer_order.id"), primary_key=True)
    sku: Mapped[str] = mapped_column(ForeignKey("product.sku"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str]
    quantity: Mapped[int]
    unit_price_cents: Mapped[int]


class IdempotencyKey(Base):
    """The idempotency key of an order, with the response that retries get byte by byte.

    The row is inserted in the transaction of the order. `fingerprint` is the SHA-256 of the requested items. A cleanup
    task deletes old keys and keeps their orders.
    """

    __tablename__ = "idempotency_key"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("customer_order.id"))
    response: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
