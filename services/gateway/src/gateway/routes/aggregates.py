"""Routes whose response is built from the responses of several services."""

from uuid import UUID

from fastapi import APIRouter, Response

from gateway.dependencies import AggregatesDep, CallerHeaders
from gateway.schemas import Dashboard, OrderSummary, UserLookup, UsersFound
from shared.openapi import problem
from shared.tokens import AdminIdentity, CurrentIdentity

router = APIRouter()


@router.get("/dashboard", response_model=Dashboard, summary="Your page")
async def read_dashboard(headers: CallerHeaders, aggregates: AggregatesDep) -> Response:
    """Account, newest orders and notifications; a part that is late or failed is null and named in `degraded`."""
    return _json(await aggregates.dashboard(headers))


@router.get(
    "/orders/{order_id}/summary",
    response_model=OrderSummary,
    summary="An order with its user and its notifications",
    responses={
        403: problem("An admin asked about somebody else's order"),
        404: problem("No such order, or not yours"),
    },
)
async def read_order_summary(
    order_id: UUID, caller: CurrentIdentity, headers: CallerHeaders, aggregates: AggregatesDep
) -> Response:
    """All parts, or the problem of the part that failed."""
    return _json(await aggregates.order_summary(order_id, caller, headers))


@router.post(
    "/users/lookup",
    response_model=UsersFound,
    summary="Find users by id (admins)",
    responses={403: problem("Not an admin")},
)
async def look_up_users(
    wanted: UserLookup, _caller: AdminIdentity, headers: CallerHeaders, aggregates: AggregatesDep
) -> Response:
    """At most 100 ids; those without a user come back in `missing`."""
    return _json(await aggregates.look_up_users(wanted.ids, headers))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
