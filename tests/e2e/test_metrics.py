"""After an order, the observatory's metrics page lists the route `POST /v2/orders`, and `make top` prints it."""

import asyncio
from typing import Any

import pytest

from testkit.apps import http_client
from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

ROUTE_TIMEOUT_S = 60
"""Time until the route must be on the metrics page. Processes export metrics every ten seconds."""

ROUTE = {"service_name": "gateway", "http_request_method": "POST", "http_route": "/v2/orders"}


async def test_route_of_an_order_is_on_the_metrics_page_and_in_the_terminal(stack: Stack, shopper: Shopper) -> None:
    if not stack.has_observatory:
        pytest.skip("reads the observatory's metrics page, so it needs an embedded stack that the tests started")
    sku = (await shopper.products())[0]["sku"]
    assert (await shopper.place_order((sku, 1))).status_code == 201

    async with http_client(stack.prometheus) as prometheus:

        async def values_of_route() -> dict[str, Any] | None:
            """Return the values of the route by column title; None until the row exists with an exemplar."""
            tables = (await prometheus.get("/observatory/metrics", params={"window": "15m"})).json()["tables"]
            [routes] = [table for table in tables if table["id"] == "routes"]
            titles = [column["title"] for column in routes["columns"]]
            for row in routes["rows"]:
                if row["labels"] == ROUTE and row["exemplar"]:
                    return dict(zip(titles, (cell["value"] for cell in row["cells"]), strict=True))
            return None

        values = await eventually(values_of_route, ROUTE_TIMEOUT_S, "the order's route on the metrics page")
        assert values
        assert values["rate"] > 0
        assert 0 < values["p50"] <= values["p99"]
        assert values["errors"] is None or 0 <= values["errors"] <= 1  # None if the route had no 5xx response

    printed = await asyncio.to_thread(stack.run, "console", "top")
    assert printed.returncode == 0, printed.stderr
    assert "POST /v2/orders" in printed.stdout
