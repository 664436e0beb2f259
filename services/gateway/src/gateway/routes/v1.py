"""Version 1, deprecated: the shapes of the first release, over the services that serve version 2.

Its document never changes (`docs/openapi/v1.json`): where version 2 grows away, the shape of then gets a class here.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel

from gateway.deprecation import Retirement
from gateway.routes.parameters import offset_page, order, page, product
from gateway.routes.pass_through import FORM, Call
from gateway.routes.v2 import IDEMPOTENCY_KEY, NO_ORDER
from gateway.schemas import NewOrder, NewUser, Order, Product, TokenPair, TokenRequest, UserChange
from shared.pages import Page

RETIREMENT = Retirement(
    prefix="/v1",
    successor="/v2",
    since=datetime(2026, 11, 23, tzinfo=UTC),
    sunset=datetime(2027, 11, 23, tzinfo=UTC),
)


class UserV1(BaseModel):
    """An account, before there were roles."""

    id: UUID
    email: str
    name: str


def user_of_then(body: bytes) -> bytes:
    """A `UserV1` of the users service's user."""
    user: dict[str, Any] = orjson.loads(body)
    return orjson.dumps({name: user[name] for name in UserV1.model_fields})


CALLS = (
    Call(
        name="register",
        method="POST",
        path="/users",
        to="users",
        summary="Create an account",
        body=NewUser,
        status=201,
        answer=UserV1,
        reshape=user_of_then,
        problems={409: "The address has an account already"},
        for_anybody=True,
        takes_credentials=True,
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
        takes_credentials=True,
    ),
    Call(
        name="read_me",
        method="GET",
        path="/users/me",
        to="users",
        summary="Your account",
        answer=UserV1,
        reshape=user_of_then,
    ),
    Call(
        name="change_me",
        method="PATCH",
        path="/users/me",
        to="users",
        summary="Change your account",
        body=UserChange,
        answer=UserV1,
        reshape=user_of_then,
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
        answer_headers={"Location": "Path of the order"},
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
        service_path="/orders/recent",
        to="orders",
        summary="Your orders, newest first",
        parameters=(offset_page,),
        answer=list[Order],
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
)
