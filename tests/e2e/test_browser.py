"""The gateway's routes for the browser application: a session by cookie, and the trace of an order for its owner."""

from typing import Any

import httpx
import pytest

from testkit.shopper import PASSWORD, Shopper, register
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

SESSION = "/browser/session"
PAGE_HEADERS = {"X-Hopline-CSRF": "1", "Sec-Fetch-Site": "same-origin"}
"""Headers of a request that the browser application sends."""
SERVICES = {"gateway", "orders", "notifications", "workers", "users"}
JOURNEY_TIMEOUT_S = 90
"""With the default settings, packing and shipping take 4 s, and the trace is complete 5 s later."""


async def test_session_lasts_until_logout(gateway: httpx.AsyncClient, shopper: Shopper) -> None:
    login = await gateway.post(SESSION, json={"email": shopper.email, "password": PASSWORD}, headers=PAGE_HEADERS)
    assert login.status_code == 200
    cookie_of_login = gateway.cookies["hopline_refresh"]
    refreshed = await gateway.post(f"{SESSION}/refresh", headers=PAGE_HEADERS)
    assert refreshed.status_code == 200
    last_cookie = gateway.cookies["hopline_refresh"]
    assert last_cookie != cookie_of_login
    token = refreshed.json()["access_token"]
    account = await gateway.get("/v2/users/me", headers={"Authorization": f"Bearer {token}"})
    assert account.json()["email"] == shopper.email
    assert (await gateway.delete(SESSION, headers=PAGE_HEADERS)).status_code == 204
    assert "hopline_refresh" not in gateway.cookies
    after_logout = await gateway.post(
        f"{SESSION}/refresh", headers={**PAGE_HEADERS, "Cookie": f"hopline_refresh={last_cookie}"}
    )
    assert after_logout.status_code == 401


async def test_trace_of_an_order_is_returned_only_to_its_owner(gateway: httpx.AsyncClient, shopper: Shopper) -> None:
    config = (await gateway.get("/browser/config")).json()
    if not config["development"]:
        pytest.skip("the route /browser/traces exists only in development")
    sku = (await gateway.get("/v2/products")).json()["items"][0]["sku"]
    placed = await shopper.place_order((sku, 1))
    assert placed.status_code == 201
    assert placed.headers["server-timing"].startswith("orders;dur=")
    trace_id = placed.headers["traceresponse"].split("-")[1]

    async def get_complete_trace() -> dict[str, Any] | None:
        response = await shopper.get(f"/browser/traces/{trace_id}")
        found: dict[str, Any] = response.json()
        return found if response.is_success and found["complete"] else None

    trace = await eventually(get_complete_trace, JOURNEY_TIMEOUT_S, "the complete trace of the order")
    assert {span["service"] for span in trace["spans"]} == SERVICES
    [root] = [span for span in trace["spans"] if span["parent_span_id"] is None]
    assert (root["service"], root["name"]) == ("gateway", "POST /v2/orders")
    assert root["attributes"]["http.response.status_code"] == 201
    emails = [span for span in trace["spans"] if span["name"] == "SMTP send"]
    assert len(emails) == 2  # the confirmation and the shipping email
    other_user = await register(gateway)
    assert (await other_user.get(f"/browser/traces/{trace_id}")).status_code == 404
    assert (await gateway.get(f"/browser/traces/{trace_id}")).status_code == 401
