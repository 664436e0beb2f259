"""Schemas of aggregates. A part that a service returns is named here and defined by the service."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

SERVICE_SCHEMA: Final = "x-service-schema"
"""Stands for a reference to a service's schema, until `checks.openapi.compose` puts the reference in its place."""

User = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "User"})]
Order = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "Order"})]
Notification = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "Notification"})]
NotificationDigest = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "NotificationDigest"})]


class Dashboard(BaseModel):
    """A page's worth; a part that failed or was late is null, and its service is named in `degraded`."""

    user: User | None
    recent_orders: list[Order] | None = Field(description="Newest first")
    notifications: NotificationDigest | None
    degraded: list[Literal["users", "orders", "notifications"]]


class OrderSummary(BaseModel):
    """An order, its owner, and the owner's notifications about it, oldest first."""

    order: Order
    user: User
    notifications: list[Notification]


class UserLookup(BaseModel):
    """The users to look up; each id counts once."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(max_length=100)


class UsersFound(BaseModel):
    """The users that exist, in the order of the request; the ids of the others are in `missing`, in that order too."""

    items: list[User]
    missing: list[UUID]
