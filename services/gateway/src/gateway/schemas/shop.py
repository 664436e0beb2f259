"""The public shapes, for the OpenAPI document. The gateway passes bytes on: the services' own schemas decide.

A test holds these against the services', so that the document stays true.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import FieldError
from shared.tokens import Role

SKU = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"
"""The first character is no dot: a path of dots would lead elsewhere."""

Sku = Annotated[str, Field(pattern=SKU, examples=["mug-blue"])]
Cents = Annotated[int, Field(description="In hundredths of the currency")]
Seq = Annotated[int, Field(ge=0, description="Position in the caller's feed: 1, 2, 3… without a gap")]


class Problem(BaseModel):
    """Every error, as `application/problem+json` (RFC 9457)."""

    type: str = Field(examples=["https://hopline.example/problems/out-of-stock"])
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path of the request")
    trace_id: str | None = Field(description="The trace that shows what happened")
    errors: list[FieldError] = Field(default=[], description="What is wrong with which field, on validation")


class NewUser(BaseModel):
    """An account to create."""

    email: str = Field(json_schema_extra={"format": "email"}, max_length=254, examples=["ann@hopline.example"])
    password: str = Field(min_length=8, max_length=128, examples=["correct horse battery"])
    name: str = Field(min_length=1, max_length=100, examples=["Ann"])


class UserChange(BaseModel):
    """What users may change of themselves."""

    name: str = Field(min_length=1, max_length=100, examples=["Ann B."])


class User(BaseModel):
    """An account."""

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime


class TokenRequest(BaseModel):
    """RFC 6749: `username` and `password` for the grant `password`, `refresh_token` for the grant of that name."""

    grant_type: Literal["password", "refresh_token"]
    username: str = Field(default="", examples=["ann@hopline.example"])
    password: str = Field(default="", examples=["correct horse battery"])
    refresh_token: str = ""


class TokenPair(BaseModel):
    """The refresh token buys one more pair, once; used twice, it revokes its whole family."""

    access_token: str
    token_type: str = Field(examples=["Bearer"])
    expires_in: int = Field(description="Seconds")
    refresh_token: str


class Product(BaseModel):
    """Something to buy; `available` units can be ordered now."""

    sku: Sku
    name: str
    unit_price_cents: Cents
    currency: str = Field(examples=["EUR"])
    available: int


class OrderStatus(StrEnum):
    """`placed → packed → shipped`, or `placed → cancelled`."""

    PLACED = "placed"
    PACKED = "packed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


class NewItem(BaseModel):
    """How many of what."""

    sku: Sku
    quantity: int = Field(ge=1, examples=[2])


class NewOrder(BaseModel):
    """What to order; all of it or nothing."""

    items: list[NewItem] = Field(min_length=1, max_length=50)


class OrderItem(BaseModel):
    """One line of an order, at the price of the moment it was placed."""

    sku: Sku
    name: str
    quantity: int
    unit_price_cents: Cents


class Order(BaseModel):
    """An order."""

    id: UUID
    user_id: UUID
    status: OrderStatus
    items: list[OrderItem]
    total_cents: Cents
    currency: str
    created_at: datetime


class Notification(BaseModel):
    """One notification; `data` has `order_id` where it is about an order, `report_id` where about a report."""

    seq: Seq
    id: UUID
    kind: str = Field(examples=["order.placed"])
    data: dict[str, Any]
    created_at: datetime


class FeedState(BaseModel):
    """How long the feed is, and how far it was read: `head - read_seq` are unread."""

    head: Seq
    read_seq: Seq


class NotificationPage(FeedState):
    """Some notifications, oldest first; go on from the last until it is `head`."""

    items: list[Notification]


class ReadMark(BaseModel):
    """Up to and including which notification the user has read."""

    up_to: Seq


class Ticket(BaseModel):
    """Connect to `url` within `expires_in` seconds and send the ticket in the first frame; it works once."""

    ticket: str
    expires_in: int = Field(description="Seconds")
    url: str = Field(examples=["ws://localhost:8003/ws"])


class ReportKind(StrEnum):
    """What a report is about."""

    ORDERS = "orders"


class ReportFormat(StrEnum):
    """CSV has every order; PDF has sums, a chart and the newest orders."""

    CSV = "csv"
    PDF = "pdf"


class ReportStatus(StrEnum):
    """`queued → running → done`, or `failed`."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class NewReport(BaseModel):
    """A period of at most a year: RFC 3339 times, `from` included and `to` not, or days of UTC, both included."""

    kind: ReportKind
    format: ReportFormat
    period_from: str = Field(alias="from", examples=["2026-11-01"])
    period_to: str = Field(alias="to", examples=["2026-11-30"])


class Report(BaseModel):
    """A report; its notifications are `report.progress`, and `report.ready` or `report.failed`."""

    id: UUID
    user_id: UUID
    kind: ReportKind
    format: ReportFormat
    period_from: datetime = Field(serialization_alias="from")
    period_to: datetime = Field(serialization_alias="to", description="Not included")
    status: ReportStatus
    progress: int = Field(ge=0, le=100, description="Percent")
    download_url: str | None = Field(description="Once it is done", examples=["/v2/reports/…/download"])
    size_bytes: int | None
    error: str | None = Field(description="Why it failed")
    created_at: datetime
    finished_at: datetime | None


class NotificationDigest(BaseModel):
    """What a page's corner shows."""

    unread: int
    latest: list[Notification] = Field(description="Newest first")


class Dashboard(BaseModel):
    """A page's worth; what could not be had in time is null, and its service is named in `degraded`."""

    user: User | None
    recent_orders: list[Order] | None = Field(description="Newest first")
    notifications: NotificationDigest | None
    degraded: list[Literal["users", "orders", "notifications"]]


class OrderSummary(BaseModel):
    """An order, whose it is, and what its owner was told about it, oldest first."""

    order: Order
    user: User
    notifications: list[Notification]


class UserLookup(BaseModel):
    """Whom to look up; each id counts once."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(max_length=100)


class UsersFound(BaseModel):
    """Those who exist, in the order they were asked for; the others' ids are in `missing`, in that order too."""

    items: list[User]
    missing: list[UUID]
