"""One order is one trace. It begins with a span of the browser and includes the notifications to the page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from console.tree import parent_span_id
from testkit.shop import Shop
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S

pytestmark = pytest.mark.xdist_group("stack")

ROOT = Path(__file__).parents[3]
SKU = "BOOK-HOPS"
ATTEMPTS = 300
PAUSE_MS = 200

Span = dict[str, Any]
Traces = Callable[[str], list[Span]]


def eventually(page: Page, condition: Callable[[], Any]) -> Any:
    """Return the first truthy value of `condition`. Between calls the page runs; a blocking wait would stop it."""
    for _ in range(ATTEMPTS):
        if value := condition():
            return value
        page.wait_for_timeout(PAUSE_MS)
    raise AssertionError("the condition did not become true")


def find_spans(stack: Stack, operation: str) -> list[Span]:
    """Return the browser's spans of this name, newest first, each with its parent's id and its tags by name."""
    query: dict[str, str | int] = {"service": "browser", "operation": operation, "lookback": "1h", "limit": 20}
    response = httpx.get(f"{stack.jaeger}/api/traces", params=query, timeout=TIMEOUT_S).raise_for_status()
    spans = [span for trace in response.json()["data"] for span in read_spans(trace)]
    return sorted(
        (span for span in spans if span["service"] == "browser" and span["name"] == operation),
        key=lambda span: -int(span["start"]),
    )


def read_trace(stack: Stack, trace_id: str) -> list[Span]:
    response = httpx.get(f"{stack.jaeger}/api/traces/{trace_id}", timeout=TIMEOUT_S)
    return [span for trace in response.json()["data"] or () for span in read_spans(trace)]


def read_spans(trace: dict[str, Any]) -> list[Span]:
    services = {key: process["serviceName"] for key, process in trace["processes"].items()}
    return [
        {
            "id": span["spanID"],
            "trace": span["traceID"],
            "name": span["operationName"],
            "service": services[span["processID"]],
            "start": span["startTime"],
            "parent": parent_span_id(span),
            "tags": {tag["key"]: tag["value"] for tag in span["tags"]},
        }
        for span in trace["spans"]
    ]


def place_order(shop: Shop) -> str:
    """Place an order, and return the trace id of its request."""
    shop.add_to_cart(SKU)
    shop.open("/cart")
    with shop.page.expect_response("**/v2/orders") as placed:
        shop.page.get_by_role("button", name="Place order").click()
    return placed.value.headers["traceresponse"].split("-")[1]


def test_trace_of_an_order_begins_in_the_browser_and_returns_to_it(shop: Shop, stack: Stack) -> None:
    shop.register()
    trace_id = place_order(shop)

    def pushes() -> list[Span]:
        received = [span for span in read_trace(stack, trace_id) if span["name"] == "receive notification"]
        return received if len(received) == 3 else []

    received = eventually(shop.page, pushes)
    spans = {span["id"]: span for span in read_trace(stack, trace_id)}
    [root] = [span for span in spans.values() if span["parent"] is None]
    assert (root["service"], root["name"]) == ("browser", "place order")
    [request] = [span for span in spans.values() if span["parent"] == root["id"]]
    assert (request["service"], request["name"]) == ("browser", "POST /v2/orders")
    assert request["tags"]["span.kind"] == "client"
    assert request["tags"]["http.response.status_code"] == 201
    [server] = [span for span in spans.values() if span["parent"] == request["id"]]
    assert (server["service"], server["name"]) == ("gateway", "POST /v2/orders")

    kinds = set()
    for push in received:
        assert push["service"] == "browser"
        assert push["tags"]["span.kind"] == "consumer"
        sent = spans[push["parent"]]
        assert (sent["service"], sent["name"]) == ("notifications", "send notification")
        kinds.add(push["tags"]["hopline.notification.kind"])
    assert kinds == {"order.placed", "order.packed", "order.shipped"}


def test_spans_arrive_when_the_page_is_left_immediately(shop: Shop, stack: Stack) -> None:
    shop.register()
    trace_id = place_order(shop)
    shop.page.goto("about:blank")

    def root() -> list[Span]:
        return [span for span in read_trace(stack, trace_id) if span["name"] == "place order"]

    [span] = eventually(shop.page, root)
    assert span["parent"] is None


def test_reading_pages_are_actions_too(shop: Shop, stack: Stack) -> None:
    shop.open("/")
    expect(shop.page.locator(".card").first).to_be_visible()
    [span, *_] = eventually(shop.page, lambda: find_spans(stack, "load catalog"))
    assert span["parent"] is None
    names = {span["name"] for span in read_trace(stack, span["trace"]) if span["service"] == "gateway"}
    assert "GET /v2/products" in names


def test_trace_context_and_telemetry_stay_with_the_shop(shop: Shop) -> None:
    with shop.page.expect_request("**/browser/telemetry/v1/traces") as sent:
        shop.open("/")
    export = sent.value
    assert export.headers["content-type"] == "application/json"
    assert "traceparent" not in export.headers
    assert "authorization" not in export.headers


def test_what_pages_send_is_listed(shop: Shop, stack: Stack) -> None:
    if not stack.is_tapped:
        pytest.skip("needs the telemetry of an embedded stack that the tests started")
    shop.register()
    place_order(shop)
    eventually(shop.page, lambda: "receive notification" in stack.tapped.copy().page_spans)
    shop.page.goto("about:blank")
    eventually(shop.page, lambda: "hopline.web_vital.layout_shift" in stack.tapped.copy().page_metrics)

    sent = stack.tapped.copy()
    documented = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    section = documented.partition("\n## The browser application\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`([^`]+)`", section))
    assert {name for name in sent.page_spans if not re.match(r"[A-Z]+ /", name)} <= listed
    assert sent.page_metrics.keys() <= listed
    attributes = set().union(*sent.page_spans.values(), *sent.page_metrics.values())
    assert {name for name in attributes if f"`{name}`" not in documented} == set()
