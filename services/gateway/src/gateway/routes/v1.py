"""Version 1, deprecated: the routes of the first release, over the services that serve version 2.

Its document is frozen (`docs/openapi/v1.json`). If a schema of version 2 changes, these routes convert it back.
"""

from datetime import UTC, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from gateway.dependencies import OrdersDep, UsersDep
from gateway.deprecation import DeprecatedVersion
from gateway.forward import ForwardDep, PublicForwardDep
from gateway.limits.credentials import limit_credentials
from gateway.routes import v2
from shared.validation.numbers import DIGITS
from shared.web.pagination import Limit

DEPRECATION = DeprecatedVersion(
    prefix="/v1",
    successor="/v2",
    since=datetime(2026, 11, 23, tzinfo=UTC),
    sunset=datetime(2027, 11, 23, tzinfo=UTC),
)

router = APIRouter()


class OffsetQuery(BaseModel):
    """A page by its offset. The offset is limited because the database reads all rows before it."""

    limit: Limit = 20
    offset: Annotated[int, Field(ge=0, le=1000), DIGITS] = 0


def convert_user(body: bytes) -> bytes:
    """Return a user of version 1, which has no role."""
    user = orjson.loads(body)
    return orjson.dumps({name: user[name] for name in ("id", "email", "name")})


@router.post("/users", status_code=201, dependencies=[Depends(limit_credentials)])
async def register(forward: PublicForwardDep, users: UsersDep) -> Response:
    """Create an account."""
    return await forward(users, reshape=convert_user)


@router.get("/users/me")
async def read_me(forward: ForwardDep, users: UsersDep) -> Response:
    """Read the caller's account."""
    return await forward(users, reshape=convert_user)


@router.patch("/users/me")
async def change_me(forward: ForwardDep, users: UsersDep) -> Response:
    """Change the caller's account."""
    return await forward(users, reshape=convert_user)


@router.get("/orders")
async def list_orders(_page: Annotated[OffsetQuery, Query()], forward: ForwardDep, orders: OrdersDep) -> Response:
    """List the caller's orders by offset."""
    return await forward(orders, "/orders/recent")


router.add_api_route("/tokens", v2.grant_tokens, methods=["POST"], dependencies=[Depends(limit_credentials)])
router.add_api_route("/products", v2.list_products, methods=["GET"])
router.add_api_route("/products/{sku}", v2.read_product, methods=["GET"])
router.add_api_route("/orders", v2.place_order, methods=["POST"], status_code=201)
router.add_api_route("/orders/{order_id}", v2.read_order, methods=["GET"])
router.add_api_route("/orders/{order_id}/cancel", v2.cancel_order, methods=["POST"])
