"""The gateway gives the browser application a session by cookie, and the trace of an order to its owner."""

from typing import Any

import httpx
import pytest

from testkit.shopper import PASSWORD, Shopper, register
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

SESSION = "/browser/session"
OURS = {"X-Hopline-CSRF": "1", "Sec-Fetch-Site": "same-origin"}
SERVICES = {"gateway", "orders", "notifications", "workers", "users"}
JOURNEY_S = 90
"""Packing and shipping take 4 s, and a trace is complete 5 s later. A busy machine needs longer."""


async def test_session_lasts_until_logout(gateway: httpx.AsyncClient, shopper: Shopper) -> None:
    login = await gateway.post(SESSION, json={"email": shopper.email, "password": PASSWORD}, headers=OURS)
    assert login.status_code == 200
    first = gateway.cookies["hopline_refresh"]
    refreshed = await gateway.post(f"{SESSION}/refresh", headers=OURS)
    assert refreshed.status_code == 200
    assert gateway.cookies["hopline_refresh"] != first
    token = refreshed.json()["access_token"]
    me = await gateway.get("/v2/users/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["email"] == shopper.email
    second = gateway.cookies["hopline_refresh"]
    assert (await gateway.delete(SESSION, headers=OURS)).status_code == 204
    assert "hopline_refresh" not in gateway.cookies
    again = await gateway.post(f"{SESSION}/refresh", headers={**OURS, "Cookie": f"hopline_refresh={second}"})
    assert again.status_code == 401


async def test_trace_of_an_order_is_returned_to_its_owner(gateway: httpx.AsyncClient, shopper: Shopper) -> None:
    config = (await gateway.get("/browser/config")).json()
    if not config["development"]:
        pytest.skip("only development has the route")
    sku = (await gateway.get("/v2/products")).json()["items"][0]["sku"]
    placed = await shopper.place_order((sku, 1))
    assert placed.status_code == 201
    assert placed.headers["server-timing"].startswith("orders;dur=")
    trace_id = placed.headers["traceresponse"].split("-")[1]

    async def complete() -> dict[str, Any] | None:
        response = await shopper.get(f"/browser/traces/{trace_id}")
        found: dict[str, Any] = response.json()
        return found if response.is_success and found["complete"] else None

    trace = await eventually(complete, JOURNEY_S, "the complete trace of the order")
    assert {span["service"] for span in trace["spans"]} == SERVICES
    [root] = [span for span in trace["spans"] if span["parent_span_id"] is None]
    assert (root["service"], root["name"]) == ("gateway", "POST /v2/orders")
    assert root["attributes"]["http.response.status_code"] == 201
    assert sum(span["name"] == "SMTP send" for span in trace["spans"]) == 2
    other = await register(gateway)
    assert (await other.get(f"/browser/traces/{trace_id}")).status_code == 404
    assert (await gateway.get(f"/browser/traces/{trace_id}")).status_code == 401
