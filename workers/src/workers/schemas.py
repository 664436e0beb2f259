"""Payloads of jobs, data of events, and responses of other services.

The same model validates the payload of a job twice: when the job is added, and when it runs, possibly by another
version of this code.
"""

from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class OrderItem(BaseModel):
    """One item of an order. The price is in cents per unit."""

    model_config = ConfigDict(frozen=True)

    sku: str
    name: str
    quantity: int = Field(ge=1)
    unit_price_cents: int = Field(ge=0)

    @property
    def line_total_cents(self) -> int:
        """Return the price of all units in cents."""
        return self.quantity * self.unit_price_cents


class Order(BaseModel):
    """An order as described by `hopline.order.*.v1` events. `currency` is an ISO 4217 code."""

    model_config = ConfigDict(frozen=True)

    order_id: UUID
    user_id: UUID
    status: str
    items: list[OrderItem] = Field(min_length=1)
    total_cents: int = Field(ge=0)
    currency: str = Field(pattern="^[A-Z]{3}$")
    created_at: datetime


class UserRegistered(BaseModel):
    """Data of `hopline.user.registered.v1`. It has no email address, which the users service returns by id."""

    user_id: UUID


class Problem(BaseModel):
    """An error response (RFC 9457). The last path segment of `type` is the slug of the problem."""

    type: str = ""


class User(BaseModel):
    """A user as returned by the users service. Validation errors do not quote the input, which is personal data."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: UUID
    email: str = Field(min_length=3)
    name: str


class AccessToken(BaseModel):
    """A response of the token endpoint of users (RFC 6749 §5.1). `expires_in` is in seconds."""

    access_token: str = Field(min_length=1)
    expires_in: float = Field(gt=0)


class JobPayload(BaseModel):
    """Base of the payloads. `type_name` is the name of the job type and of the function that runs it.

    `user_id` is added to the log records. It is None if the job does not concern a single user. If a job with the same
    `dedupe_key` exists, the payload is not added.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type_name: ClassVar[str]
    user_id: UUID | None = None

    @property
    @abstractmethod
    def dedupe_key(self) -> str:
        """Return the unique, readable name of the job."""


class WelcomeEmail(JobPayload):
    """Payload of the email that greets a new user."""

    type_name: ClassVar[str] = "send_welcome_email"

    user_id: UUID

    @property
    def dedupe_key(self) -> str:
        """Return one key per user."""
        return f"{self.type_name}:{self.user_id}"


class OrderEmail(JobPayload):
    """Payload of the email about a new order status. `order` is the order at the time of the change."""

    type_name: ClassVar[str] = "send_order_email"

    user_id: UUID
    status: Literal["placed", "shipped", "cancelled"]
    order: Order

    @property
    def dedupe_key(self) -> str:
        """Return one key per order and status."""
        return f"{self.type_name}:{self.status}:{self.order.order_id}"


class FulfilOrder(JobPayload):
    """Payload of one fulfilment step. The job that packs an order adds the job that ships it."""

    type_name: ClassVar[str] = "fulfil_order"

    user_id: UUID
    order_id: UUID
    step: Literal["pack", "ship"]

    @property
    def dedupe_key(self) -> str:
        """Return one key per order and step."""
        return f"{self.type_name}:{self.step}:{self.order_id}"


class SoldProduct(BaseModel):
    """Sales of one product on one day."""

    model_config = ConfigDict(frozen=True)

    sku: str
    name: str
    quantity: int = Field(ge=0)
    total_cents: int = Field(ge=0)


class DaySales(BaseModel):
    """Sales of one day in UTC, with the products of the highest totals in `best`.

    Cancelled orders are only counted in `cancelled`.
    """

    model_config = ConfigDict(frozen=True)

    day: date
    orders: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    total_cents: int = Field(ge=0)
    currency: str = Field(pattern="^[A-Z]{3}$")
    best: list[SoldProduct]


class SummariseSales(JobPayload):
    """Payload of the job that adds an email job with the sales of a day for every admin."""

    type_name: ClassVar[str] = "summarise_sales"

    day: date

    @property
    def dedupe_key(self) -> str:
        """Return one key per day."""
        return f"{self.type_name}:{self.day}"


class SalesEmail(JobPayload):
    """Payload of the email with a day's sales to one admin."""

    type_name: ClassVar[str] = "send_sales_summary"

    user_id: UUID
    sales: DaySales

    @property
    def dedupe_key(self) -> str:
        """Return one key per day and admin."""
        return f"{self.type_name}:{self.sales.day}:{self.user_id}"


class CleanUp(JobPayload):
    """Payload of the cleanup of the service `place`. A long cleanup is divided into jobs, numbered by `part`."""

    type_name: ClassVar[str] = "clean_up"

    place: Literal["users", "orders", "notifications", "workers"]
    slot: AwareDatetime
    part: int = Field(1, ge=1)

    @property
    def dedupe_key(self) -> str:
        """Return one key per service, slot and part."""
        return f"{self.type_name}:{self.place}:{self.slot.astimezone(UTC):%Y-%m-%dT%H:%MZ}:{self.part}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to add, due after `delay_s` seconds."""

    payload: JobPayload
    delay_s: float = 0.0
