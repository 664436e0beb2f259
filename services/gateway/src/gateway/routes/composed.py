"""Calls that several services answer together."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from gateway.dependencies import AskedDep
from gateway.openapi import WRONG_FIELD, problems
from gateway.routes.direct import DirectRoute
from gateway.schemas import Dashboard, OrderSummary, UserLookup, UsersFound
from shared.tokens import AdminIdentity

router = APIRouter(route_class=DirectRoute)

NO_TOKEN = {401: "No valid access token"}


def documented(model: type[Any], expected: dict[int, str], *, tag: str) -> dict[str, Any]:
    """What these routes have in common: spliced JSON goes out as it is, and the document still says its shape."""
    return {"response_model": model, "responses": problems(NO_TOKEN | expected), "tags": [tag]}


@router.get(
    "/dashboard", operation_id="read_dashboard", summary="Your page", **documented(Dashboard, {}, tag="dashboard")
)
async def read_dashboard(asked: AskedDep) -> Response:
    """Account, newest orders and notifications at once; what is late or failed is null and named in `degraded`."""
    return _json(await asked.compositions.dashboard(asked.headers))


@router.get(
    "/orders/{order_id}/summary",
    operation_id="read_order_summary",
    summary="An order with its user and its notifications",
    **documented(
        OrderSummary,
        {403: "An admin asked about somebody else's order", 404: "No such order, or not yours", 422: WRONG_FIELD},
        tag="orders",
    ),
)
async def read_order_summary(order_id: UUID, asked: AskedDep) -> Response:
    """All of it or the problem that is in the way."""
    return _json(await asked.compositions.order_summary(order_id, asked.caller, asked.headers))


@router.post(
    "/users/lookup",
    operation_id="look_up_users",
    summary="Find users by id (admins)",
    **documented(UsersFound, {403: "Not an admin", 422: WRONG_FIELD}, tag="users"),
)
async def look_up_users(wanted: UserLookup, _caller: AdminIdentity, asked: AskedDep) -> Response:
    """At most 100 ids; those without a user come back in `missing`."""
    return _json(await asked.compositions.look_up_users(wanted.ids, asked.headers))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
