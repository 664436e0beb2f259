"""After an order the metrics page has its route, and `make top` prints it."""

import asyncio

import httpx
import pytest

from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S, eventually

pytestmark = pytest.mark.xdist_group("stack")

EXPORT_S = 60
"""Metrics leave every ten seconds; a busy machine takes its time."""

ROUTE = {"service_name": "gateway", "http_request_method": "POST", "http_route": "/v2/orders"}


async def test_an_order_is_on_the_metrics_page_and_in_the_terminal(stack: Stack, shopper: Shopper) -> None:
    if not stack.is_tapped:
        pytest.skip("the metrics page is the observatory's: only on an embedded stack of our own")
    sku = (await shopper.products())[0]["sku"]
    assert (await shopper.place_order((sku, 1))).status_code == 201

    async with httpx.AsyncClient(base_url=stack.prometheus, timeout=TIMEOUT_S) as prometheus:

        async def route() -> dict[str, object] | None:
            tables = (await prometheus.get("/observatory/metrics", params={"window": "15m"})).json()["tables"]
            [routes] = [table for table in tables if table["id"] == "routes"]
            [row] = [row for row in routes["rows"] if row["labels"] == ROUTE] or [None]
            return row if row and row["exemplar"] else None

        row = await eventually(route, EXPORT_S, "the order's route on the metrics page")
        assert row
        rate, errors, p50, _, p99 = (cell["value"] for cell in row["cells"])  # type: ignore[attr-defined]
        assert rate > 0
        assert 0 < p50 <= p99
        assert errors is None or 0 <= errors <= 1  # None: the route had no 5xx response

    printed = await asyncio.to_thread(stack.run, "console", "top")
    assert printed.returncode == 0, printed.stderr
    assert "POST /v2/orders" in printed.stdout
