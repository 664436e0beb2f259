"""What jobs are given, and what is read from events and from other services.

A job's payload is checked twice by the same model: when it is put into the ledger, and when it is read from there,
perhaps by a younger version of this code.
"""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class OrderItem(BaseModel):
    """One line of an order; the price is in cents, per unit."""

    model_config = ConfigDict(frozen=True)

    sku: str
    name: str
    quantity: int = Field(ge=1)
    unit_price_cents: int = Field(ge=0)

    @property
    def line_total_cents(self) -> int:
        """What this line costs."""
        return self.quantity * self.unit_price_cents


class Order(BaseModel):
    """An order as `hopline.order.*.v1` events describe it; `currency` is an ISO 4217 code."""

    model_config = ConfigDict(frozen=True)

    order_id: UUID
    user_id: UUID
    status: str
    items: list[OrderItem] = Field(min_length=1)
    total_cents: int = Field(ge=0)
    currency: str = Field(pattern="^[A-Z]{3}$")
    created_at: datetime


class UserRegistered(BaseModel):
    """Data of `hopline.user.registered.v1`: no address travels in events, who needs it asks users."""

    user_id: UUID


class Refusal(BaseModel):
    """What a service says where it refuses (RFC 9457); the last part of `type` names the reason."""

    type: str = ""


class User(BaseModel):
    """What users says about a recipient. An answer that is not one is reported without its content."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: UUID
    email: str = Field(min_length=3)
    name: str


class AccessToken(BaseModel):
    """An answer of users' token endpoint (RFC 6749 §5.1); `expires_in` is in seconds."""

    access_token: str = Field(min_length=1)
    expires_in: float = Field(gt=0)


class JobPayload(BaseModel):
    """Base of what a job is given. `kind` says which function runs it.

    `user_id` joins its log lines; it is None where the job is for nobody in particular. Two payloads with one
    `dedupe_key` are the same job: the second is not added.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    user_id: UUID | None = None

    @property
    @abstractmethod
    def dedupe_key(self) -> str:
        """What makes this job unique, readable by people."""


class WelcomeEmail(JobPayload):
    """Greet a new user."""

    kind: ClassVar[str] = "send_welcome_email"

    user_id: UUID

    @property
    def dedupe_key(self) -> str:
        """One per user."""
        return f"{self.kind}:{self.user_id}"


class OrderEmail(JobPayload):
    """Tell the user what became of the order, as it was when it became that."""

    kind: ClassVar[str] = "send_order_email"

    user_id: UUID
    status: Literal["placed", "shipped", "cancelled"]
    order: Order

    @property
    def dedupe_key(self) -> str:
        """One per order and status."""
        return f"{self.kind}:{self.status}:{self.order.order_id}"


class FulfilOrder(JobPayload):
    """Take the order one step further; packing is followed by shipping."""

    kind: ClassVar[str] = "fulfil_order"

    user_id: UUID
    order_id: UUID
    step: Literal["pack", "ship"]

    @property
    def dedupe_key(self) -> str:
        """One per order and step."""
        return f"{self.kind}:{self.step}:{self.order_id}"


class SoldProduct(BaseModel):
    """How much of one product was sold."""

    model_config = ConfigDict(frozen=True)

    sku: str
    name: str
    quantity: int = Field(ge=0)
    total_cents: int = Field(ge=0)


class DaySales(BaseModel):
    """A day's sales as orders adds them up: what was not cancelled, and the products that brought most in."""

    model_config = ConfigDict(frozen=True)

    day: date
    orders: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    total_cents: int = Field(ge=0)
    currency: str = Field(pattern="^[A-Z]{3}$")
    best: list[SoldProduct]


class SummariseSales(JobPayload):
    """Have the sales of a day sent to every admin."""

    kind: ClassVar[str] = "summarise_sales"

    day: date

    @property
    def dedupe_key(self) -> str:
        """One per day."""
        return f"{self.kind}:{self.day}"


class SalesEmail(JobPayload):
    """Tell one admin what was sold on a day."""

    kind: ClassVar[str] = "send_sales_summary"

    user_id: UUID
    sales: DaySales

    @property
    def dedupe_key(self) -> str:
        """One per day and admin."""
        return f"{self.kind}:{self.sales.day}:{self.user_id}"


class CleanUp(JobPayload):
    """Have one service forget what it no longer needs. `part` counts on where one job would take too long."""

    kind: ClassVar[str] = "clean_up"

    place: Literal["users", "orders", "notifications", "workers"]
    slot: AwareDatetime
    part: int = Field(1, ge=1)

    @property
    def dedupe_key(self) -> str:
        """One per place, slot and part."""
        return f"{self.kind}:{self.place}:{self.slot.astimezone(UTC):%Y-%m-%dT%H:%MZ}:{self.part}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to add, in the transaction of what leads to it, due `delay_s` seconds after that."""

    payload: JobPayload
    delay_s: float = 0.0
