"""Wire shapes of the catalog and of orders. Money is in integer cents with a currency, times are RFC 3339 in UTC."""

from collections import Counter
from datetime import date, datetime
from hashlib import sha256
from typing import Annotated
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orders.states import OrderStatus
from shared.openapi import without_maximum

MAX_LINES = 50
MAX_QUANTITY = 10_000
"""Above what the catalog has of anything: whoever asks for more than there is learns what there is."""

SKU = r"^[A-Za-z0-9._-]{1,64}$"
PUBLIC_SKU = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"
"""As documented and as the gateway accepts it in a path: a first character that is a dot could lead elsewhere."""

Sku = Annotated[
    str,
    StringConstraints(pattern=SKU),
    Field(examples=["mug-blue"], json_schema_extra={"pattern": PUBLIC_SKU}),
]
Cents = Annotated[int, Field(description="In hundredths of the currency")]


class ProductOut(BaseModel):
    """A product as customers see it; `available` units can be ordered now."""

    model_config = ConfigDict(from_attributes=True)

    sku: str = Field(examples=["mug-blue"])
    name: str
    unit_price_cents: Cents
    currency: str = Field(examples=["EUR"])
    available: int


class NewItem(BaseModel):
    """How many of what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku: Sku
    quantity: int = Field(strict=True, ge=1, le=MAX_QUANTITY, examples=[2], json_schema_extra=without_maximum)


class NewOrder(BaseModel):
    """What to order: all of it or nothing. Items of the same product are added up, at the place of the first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: list[NewItem] = Field(min_length=1, max_length=MAX_LINES)

    def quantities(self) -> Counter[str]:
        """Units by sku, in the order in which the products were first named."""
        wanted: Counter[str] = Counter()
        for item in self.items:
            wanted[item.sku] += item.quantity
        return wanted

    def field_of(self, sku: str) -> str:
        """Where the client named `sku` first, say `items.0.sku`."""
        return f"items.{[item.sku for item in self.items].index(sku)}.sku"

    def fingerprint(self) -> bytes:
        """The SHA-256 of what is asked for: the same for bodies that differ in spaces or in the order of members."""
        return sha256(orjson.dumps([(item.sku, item.quantity) for item in self.items])).digest()


class OrderItemOut(BaseModel):
    """One line of an order, at the price of the moment it was placed."""

    model_config = ConfigDict(from_attributes=True)

    sku: str = Field(examples=["mug-blue"])
    name: str
    quantity: int
    unit_price_cents: Cents


class OrderOut(BaseModel):
    """An order."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    status: OrderStatus
    items: list[OrderItemOut]
    total_cents: Cents
    currency: str
    created_at: datetime


class StockLevel(BaseModel):
    """How many units of a product can be ordered. Of two levels the one with the larger `version` is newer."""

    sku: str
    available: int
    version: int


class SoldProduct(BaseModel):
    """How much of one product was sold."""

    sku: str
    name: str
    quantity: int
    total_cents: int


class DaySales(BaseModel):
    """A day's sales: orders that were not cancelled, what they cost together, and the best products, the best first."""

    day: date
    orders: int
    cancelled: int
    total_cents: int
    currency: str
    best: list[SoldProduct]
