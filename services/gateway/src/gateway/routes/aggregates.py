"""Routes that aggregate the responses of several services."""

from uuid import UUID

from fastapi import APIRouter, Response

from gateway.dependencies import AggregatesDep, CallerHeaders
from gateway.schemas import Dashboard, OrderSummary, UserLookup, UsersFound
from shared.auth import AdminIdentity, CurrentIdentity
from shared.web.openapi import document_problem

router = APIRouter()


@router.get("/dashboard", response_model=Dashboard, summary="Get your dashboard")
async def read_dashboard(headers: CallerHeaders, aggregates: AggregatesDep) -> Response:
    """Return account, newest orders and notifications. A part that failed is null and named in `degraded`."""
    return _json(await aggregates.get_dashboard(headers))


@router.get(
    "/orders/{order_id}/summary",
    response_model=OrderSummary,
    summary="Get an order with its user and notifications",
    responses={
        403: document_problem("The caller is an admin and does not own the order"),
        404: document_problem("No such order, or not yours"),
    },
)
async def read_order_summary(
    order_id: UUID, caller: CurrentIdentity, headers: CallerHeaders, aggregates: AggregatesDep
) -> Response:
    """Return all parts, or the problem of the part that failed."""
    return _json(await aggregates.get_order_summary(order_id, caller, headers))


@router.post(
    "/users/lookup",
    response_model=UsersFound,
    summary="Find users by id (admins)",
    responses={403: document_problem("Not an admin")},
)
async def look_up_users(
    body: UserLookup, _caller: AdminIdentity, headers: CallerHeaders, aggregates: AggregatesDep
) -> Response:
    """Find users by at most 100 ids. `missing` has the ids without a user."""
    return _json(await aggregates.look_up_users(body.ids, headers))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
