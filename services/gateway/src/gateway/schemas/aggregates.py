"""Schemas of aggregates. The parts that a service returns are named here; the service defines them.

`checks.openapi.compose` replaces the classes with an owner by that service's schema of the same public name.
"""

from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

OWNER: Final = "x-owner"


class User(BaseModel):
    """An account."""

    model_config = ConfigDict(json_schema_extra={OWNER: "users"})


class Order(BaseModel):
    """An order."""

    model_config = ConfigDict(json_schema_extra={OWNER: "orders"})


class Notification(BaseModel):
    """A notification."""

    model_config = ConfigDict(json_schema_extra={OWNER: "notifications"})


class NotificationDigest(BaseModel):
    """The number of unread notifications and the newest ones."""

    model_config = ConfigDict(json_schema_extra={OWNER: "notifications"})


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
