"""Version 2: what is passed on to one service, as a table. What several answer is in `routes.composed`."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query

from gateway.routes.pass_through import FORM, Call
from gateway.schemas import (
    SKU,
    FeedState,
    NewOrder,
    NewUser,
    NotificationPage,
    Order,
    OrderStatus,
    Product,
    ReadMark,
    Ticket,
    TokenPair,
    TokenRequest,
    User,
    UserChange,
)
from shared.pages import Cursor, Limit, Page


def page(limit: Limit = 20, cursor: Cursor = None) -> None:
    """A keyset page."""


def with_status(status: OrderStatus | None = None) -> None:
    """Only orders in this state."""


def feed_page(
    after_seq: Annotated[int, Query(ge=0, description="The last `seq` you have")] = 0, limit: Limit = 50
) -> None:
    """A page of the feed."""


def product(sku: Annotated[str, Path(pattern=SKU)]) -> None:
    """Which product."""


def order(order_id: UUID) -> None:
    """Which order."""


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Names this order among yours: a retry with the same key gets the same answer and no second order",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "4f6c0f0e-8a5e-4c5b-9f0e-2d1b7c3a9e10",
}
NO_ORDER = {404: "No such order, or not yours"}

CALLS = (
    Call(
        name="register",
        method="POST",
        path="/users",
        to="users",
        summary="Create an account",
        body=NewUser,
        status=201,
        answer=User,
        problems={409: "The address has an account already"},
        for_anybody=True,
    ),
    Call(
        name="grant_tokens",
        method="POST",
        path="/tokens",
        to="users",
        summary="Log in, or get the next pair of tokens",
        body=TokenRequest,
        body_type=FORM,
        answer=TokenPair,
        problems={400: "The grant type is missing or unknown", 401: "Wrong credentials, or a refresh token used twice"},
        for_anybody=True,
    ),
    Call(name="read_me", method="GET", path="/users/me", to="users", summary="Your account", answer=User),
    Call(
        name="change_me",
        method="PATCH",
        path="/users/me",
        to="users",
        summary="Change your account",
        body=UserChange,
        answer=User,
    ),
    Call(
        name="list_products",
        method="GET",
        path="/products",
        to="orders",
        summary="What is for sale",
        parameters=(page,),
        answer=Page[Product],
        for_anybody=True,
    ),
    Call(
        name="read_product",
        method="GET",
        path="/products/{sku}",
        to="orders",
        summary="One product",
        parameters=(product,),
        answer=Product,
        problems={404: "No such product"},
        for_anybody=True,
    ),
    Call(
        name="place_order",
        method="POST",
        path="/orders",
        to="orders",
        summary="Place an order",
        header_parameters=(IDEMPOTENCY_KEY,),
        body=NewOrder,
        status=201,
        answer=Order,
        answer_headers={
            "Location": "Path of the order",
            "Idempotency-Replayed": "`true` where the key was used before and this is the answer of then",
        },
        problems={
            400: "No Idempotency-Key, or malformed JSON",
            409: "Not enough in stock, and nothing is reserved; or the same key is being served now (`Retry-After`)",
            422: "A field is wrong, a product unknown, or the key was used for another order",
        },
    ),
    Call(
        name="list_orders",
        method="GET",
        path="/orders",
        to="orders",
        summary="Your orders, newest first",
        parameters=(page, with_status),
        answer=Page[Order],
    ),
    Call(
        name="read_order",
        method="GET",
        path="/orders/{order_id}",
        to="orders",
        summary="One of your orders",
        parameters=(order,),
        answer=Order,
        problems=NO_ORDER,
    ),
    Call(
        name="cancel_order",
        method="POST",
        path="/orders/{order_id}/cancel",
        to="orders",
        summary="Cancel an order that is not packed yet",
        parameters=(order,),
        answer=Order,
        problems={**NO_ORDER, 409: "Packed already"},
    ),
    Call(
        name="list_notifications",
        method="GET",
        path="/notifications",
        to="notifications",
        summary="Your notifications after a position, oldest first",
        parameters=(feed_page,),
        answer=NotificationPage,
    ),
    Call(
        name="mark_read",
        method="POST",
        path="/notifications/read",
        to="notifications",
        summary="Mark as read up to a position, on all your devices",
        body=ReadMark,
        answer=FeedState,
    ),
    Call(
        name="issue_ticket",
        method="POST",
        path="/ws-tickets",
        to="notifications",
        summary="A ticket for one WebSocket",
        answer=Ticket,
    ),
)
