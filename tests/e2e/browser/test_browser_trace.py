"""Traces of the browser application: an order is one trace from the browser's click to the received notifications."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest
from playwright.sync_api import Page, expect

from console.tree import parent_span_id
from testkit.apps import TLS
from testkit.shop import Shop
from testkit.stack import Stack
from testkit.telemetry_page import PAGE, read_section
from testkit.waiting import TIMEOUT_S

pytestmark = pytest.mark.xdist_group("stack")

SKU = "BOOK-HOPS"
TIMEOUT_MS = 60_000
PAUSE_MS = 200

Span = dict[str, Any]
T = TypeVar("T")


def wait_for(page: Page, condition: Callable[[], T], what: str) -> T:
    """Return the first truthy value of `condition`.

    The page continues to run between the calls, which it would not do during `time.sleep`.
    """
    for _ in range(TIMEOUT_MS // PAUSE_MS):
        if value := condition():
            return value
        page.wait_for_timeout(PAUSE_MS)
    raise AssertionError(f"waited {TIMEOUT_MS / 1000:g} s for {what}")


def find_spans(stack: Stack, operation: str) -> list[Span]:
    """Return the browser's spans of this operation, newest first."""
    query: dict[str, str | int] = {"service": "browser", "operation": operation, "lookback": "1h", "limit": 20}
    response = httpx.get(f"{stack.jaeger}/api/traces", params=query, timeout=TIMEOUT_S, verify=TLS).raise_for_status()
    spans = [span for trace in response.json()["data"] for span in read_spans(trace)]
    return sorted(
        (span for span in spans if span["service"] == "browser" and span["name"] == operation),
        key=lambda span: -int(span["start"]),
    )


def read_trace(stack: Stack, trace_id: str) -> list[Span]:
    """Return the spans of a trace; empty if Jaeger has not received any of them yet."""
    response = httpx.get(f"{stack.jaeger}/api/traces/{trace_id}", timeout=TIMEOUT_S, verify=TLS)
    return [span for trace in response.json()["data"] or () for span in read_spans(trace)]


def read_spans(trace: dict[str, Any]) -> list[Span]:
    """Return the spans of a trace in Jaeger's format, each with the id of its parent and its tags by name."""
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


def test_trace_of_an_order_begins_in_the_browser_and_includes_the_received_notifications(
    shop: Shop, stack: Stack
) -> None:
    shop.register()
    trace_id = place_order(shop)

    def find_received() -> list[Span]:
        found = [span for span in read_trace(stack, trace_id) if span["name"] == "receive notification"]
        return found if len(found) == 3 else []

    received = wait_for(shop.page, find_received, "the spans of three received notifications")
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
    for span in received:
        assert span["service"] == "browser"
        assert span["tags"]["span.kind"] == "consumer"
        sent = spans[span["parent"]]
        assert (sent["service"], sent["name"]) == ("notifications", "send notification")
        kinds.add(span["tags"]["hopline.notification.kind"])
    assert kinds == {"order.placed", "order.packed", "order.shipped"}


def test_spans_are_exported_when_the_user_leaves_the_page_immediately(shop: Shop, stack: Stack) -> None:
    shop.register()
    trace_id = place_order(shop)
    shop.page.goto("about:blank")

    def find_root() -> list[Span]:
        return [span for span in read_trace(stack, trace_id) if span["name"] == "place order"]

    [root] = wait_for(shop.page, find_root, "the root span of the order")
    assert root["parent"] is None


def test_load_of_a_page_is_one_trace_with_its_requests(shop: Shop, stack: Stack) -> None:
    shop.open("/")
    expect(shop.page.locator(".card").first).to_be_visible()
    [root, *_] = wait_for(shop.page, lambda: find_spans(stack, "load catalog"), "the root span of the page load")
    assert root["parent"] is None
    names = {span["name"] for span in read_trace(stack, root["trace"]) if span["service"] == "gateway"}
    assert "GET /v2/products" in names


def test_export_of_spans_has_no_trace_context_and_no_token(shop: Shop) -> None:
    with shop.page.expect_request("**/browser/telemetry/v1/traces") as sent:
        shop.open("/")
    export = sent.value
    assert export.headers["content-type"] == "application/json"
    assert "traceparent" not in export.headers
    assert "authorization" not in export.headers


def test_exported_spans_metrics_and_attributes_are_listed_in_the_documentation(shop: Shop, stack: Stack) -> None:
    if not stack.is_tapped:
        pytest.skip("reads the exported telemetry, so it needs an embedded stack that the tests started")
    shop.register()
    place_order(shop)
    received, metric = "receive notification", "hopline.web_vital.layout_shift"
    wait_for(shop.page, lambda: received in stack.tapped.copy().page_spans, f"the export of {received!r}")
    shop.page.goto("about:blank")  # the page exports its metrics when the user leaves it
    wait_for(shop.page, lambda: metric in stack.tapped.copy().page_metrics, f"the export of {metric}")

    exported = stack.tapped.copy()
    listed = set(re.findall(r"`([^`]+)`", read_section("The browser application")))
    actions = {name for name in exported.page_spans if not re.match(r"[A-Z]+ /", name)}  # without spans of requests
    assert actions <= listed
    assert exported.page_metrics.keys() <= listed
    attributes = set().union(*exported.page_spans.values(), *exported.page_metrics.values())
    page = PAGE.read_text(encoding="utf-8")
    assert {name for name in attributes if f"`{name}`" not in page} == set()
