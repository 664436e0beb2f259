"""Schemas of aggregates. The parts are defined by the services that return them."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

SERVICE_SCHEMA: Final = "x-service-schema"
"""Placeholder of a reference to a service's schema. `checks.openapi.compose` replaces it by the reference."""

User = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "User"})]
Order = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "Order"})]
Notification = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "Notification"})]
NotificationDigest = Annotated[Any, WithJsonSchema({SERVICE_SCHEMA: "NotificationDigest"})]


class Dashboard(BaseModel):
    """The caller's account, orders and notifications. A part that failed is null and named in `degraded`."""

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
    """The users to look up. Repeated ids count once."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(max_length=100)


class UsersFound(BaseModel):
    """The users that exist, in the order of the request. `missing` has the ids of the others, in the same order."""

    items: list[User]
    missing: list[UUID]
