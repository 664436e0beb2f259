"""Version 2: the routes that one service serves. `checks.openapi.compose` copies their documentation from it."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel

from gateway.dependencies import NotificationsDep, OrdersDep, UsersDep
from gateway.forward import ForwardDep, PublicForwardDep
from gateway.limits.credentials import limit_credentials
from shared.validation.numbers import DIGITS
from shared.web.pagination import Cursor, Limit

router = APIRouter()

Sku = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
"""The first character is not a dot, because `.` and `..` would change the path."""


class PageQuery(BaseModel):
    """A keyset page."""

    limit: Limit = 20
    cursor: Cursor = None


class OrdersQuery(PageQuery):
    """A keyset page of orders, optionally of those with one status."""

    status: Literal["placed", "packed", "shipped", "cancelled"] | None = None


class FeedQuery(BaseModel):
    """A page of the notification feed."""

    after_seq: Annotated[int, Query(ge=0, description="The last `seq` you have"), DIGITS] = 0
    limit: Limit = 50


@router.post("/users", status_code=201, dependencies=[Depends(limit_credentials)])
async def register(forward: PublicForwardDep, users: UsersDep) -> Response:
    """Create an account."""
    return await forward(users)


@router.post("/tokens", dependencies=[Depends(limit_credentials)])
async def grant_tokens(forward: PublicForwardDep, users: UsersDep) -> Response:
    """Log in, or refresh a pair of tokens."""
    return await forward(users)


@router.get("/users/me")
async def read_me(forward: ForwardDep, users: UsersDep) -> Response:
    """Read the caller's account."""
    return await forward(users)


@router.patch("/users/me")
async def change_me(forward: ForwardDep, users: UsersDep) -> Response:
    """Change the caller's account."""
    return await forward(users)


@router.get("/products")
async def list_products(_page: Annotated[PageQuery, Query()], forward: PublicForwardDep, orders: OrdersDep) -> Response:
    """List the products."""
    return await forward(orders)


@router.get("/products/{sku}")
async def read_product(sku: Sku, forward: PublicForwardDep, orders: OrdersDep) -> Response:
    """Read one product."""
    return await forward(orders, sku=sku)


@router.post("/orders", status_code=201)
async def place_order(forward: ForwardDep, orders: OrdersDep) -> Response:
    """Place an order."""
    return await forward(orders)


@router.get("/orders")
async def list_orders(_page: Annotated[OrdersQuery, Query()], forward: ForwardDep, orders: OrdersDep) -> Response:
    """List the caller's orders."""
    return await forward(orders)


@router.get("/orders/{order_id}")
async def read_order(order_id: UUID, forward: ForwardDep, orders: OrdersDep) -> Response:
    """Read one of the caller's orders."""
    return await forward(orders, order_id=order_id)


@router.post("/orders/{order_id}/cancel")
async def cancel_order(order_id: UUID, forward: ForwardDep, orders: OrdersDep) -> Response:
    """Cancel an order that is not packed yet."""
    return await forward(orders, order_id=order_id)


@router.get("/notifications")
async def list_notifications(
    _page: Annotated[FeedQuery, Query()], forward: ForwardDep, notifications: NotificationsDep
) -> Response:
    """List the caller's notifications after a position."""
    return await forward(notifications)


@router.post("/notifications/read")
async def mark_read(forward: ForwardDep, notifications: NotificationsDep) -> Response:
    """Mark notifications as read up to a position."""
    return await forward(notifications)


@router.post("/ws-tickets")
async def issue_ticket(forward: ForwardDep, notifications: NotificationsDep) -> Response:
    """Issue a ticket for one WebSocket."""
    return await forward(notifications)


@router.post("/reports", status_code=202)
async def request_report(forward: ForwardDep, orders: OrdersDep) -> Response:
    """Request a report."""
    return await forward(orders)


@router.get("/reports/{report_id}")
async def read_report(report_id: UUID, forward: ForwardDep, orders: OrdersDep) -> Response:
    """Read the progress of a report."""
    return await forward(orders, report_id=report_id)


@router.get("/reports/{report_id}/download")
async def download_report(report_id: UUID, forward: ForwardDep, orders: OrdersDep) -> Response:
    """Stream the file of a report."""
    return await forward(orders, download=True, report_id=report_id)
