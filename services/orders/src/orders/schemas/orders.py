"""Wire shapes of products, orders and sales. Money is in integer cents with a currency, times are RFC 3339 in UTC."""

from collections import Counter
from datetime import date, datetime
from hashlib import sha256
from typing import Annotated
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orders.states import OrderStatus
from shared.web.openapi import without_maximum

MAX_LINES = 50
MAX_QUANTITY = 10_000
"""More than the stock of any product, so that a large order gets 409 with the available units and not 422."""

SKU = r"^[A-Za-z0-9._-]{1,64}$"
PUBLIC_SKU = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"
"""The documented pattern, and that of paths at the gateway. A leading dot could change the path."""

Sku = Annotated[
    str,
    StringConstraints(pattern=SKU),
    Field(examples=["mug-blue"], json_schema_extra={"pattern": PUBLIC_SKU}),
]
Cents = Annotated[int, Field(description="In hundredths of the currency")]


class Product(BaseModel):
    """A product of the catalog. `available` units can be ordered now."""

    model_config = ConfigDict(from_attributes=True)

    sku: str = Field(examples=["mug-blue"])
    name: str
    unit_price_cents: Cents
    currency: str = Field(examples=["EUR"])
    available: int


class OrderItemCreate(BaseModel):
    """A product and the number of units to order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku: Sku
    quantity: int = Field(strict=True, ge=1, le=MAX_QUANTITY, examples=[2], json_schema_extra=without_maximum)


class OrderCreate(BaseModel):
    """The items to order. Either all are reserved or none. Quantities of the same product are added."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: list[OrderItemCreate] = Field(min_length=1, max_length=MAX_LINES)

    def quantities(self) -> Counter[str]:
        """Return the units by sku, in the order in which the skus first appear."""
        quantities: Counter[str] = Counter()
        for item in self.items:
            quantities[item.sku] += item.quantity
        return quantities

    def field_of(self, sku: str) -> str:
        """Return the field in which `sku` first appears, for example `items.0.sku`."""
        return f"items.{[item.sku for item in self.items].index(sku)}.sku"

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the items. It does not depend on whitespace or on the order of JSON members."""
        return sha256(orjson.dumps([(item.sku, item.quantity) for item in self.items])).digest()


class OrderItem(BaseModel):
    """One line of an order, with the price of the time it was placed."""

    model_config = ConfigDict(from_attributes=True)

    sku: str = Field(examples=["mug-blue"])
    name: str
    quantity: int
    unit_price_cents: Cents


class Order(BaseModel):
    """An order."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    status: OrderStatus
    items: list[OrderItem]
    total_cents: Cents
    currency: str
    created_at: datetime


class StockLevel(BaseModel):
    """The available units of a product. Of two levels the one with the larger `version` is newer."""

    sku: str
    available: int
    version: int


class SoldProduct(BaseModel):
    """The sales of one product."""

    sku: str
    name: str
    quantity: int
    total_cents: int


class DaySales(BaseModel):
    """The sales of a day without cancelled orders. `best` has the best-selling products by total."""

    day: date
    orders: int
    cancelled: int
    total_cents: int
    currency: str
    best: list[SoldProduct]
