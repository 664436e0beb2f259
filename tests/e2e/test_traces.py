"""The spans of traces: a complete order, and eleven requests with other results."""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

import httpx
import pytest

from hopline_client import api
from hopline_client.api import Request
from testkit.jaeger import wait_for_tree
from testkit.shopper import PASSWORD, Shopper
from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

JOURNEY = """\
gateway POST /v2/orders
  gateway POST /orders
    orders POST /orders
      orders UPDATE product
      orders publish events:orders
        notifications process events:orders
          notifications send notification
        workers process events:orders
          workers run fulfil_order
            workers POST /internal/orders/{order_id}/pack
              orders POST /internal/orders/{order_id}/pack
                orders publish events:orders
                  notifications process events:orders
                    notifications send notification
            workers run fulfil_order
              workers POST /internal/orders/{order_id}/ship
                orders POST /internal/orders/{order_id}/ship
                  orders publish events:orders
                    notifications process events:orders
                      notifications send notification
                    workers process events:orders
                      workers run send_order_email
                        workers GET /internal/users/{user_id}
                          users GET /internal/users/{user_id}
                        workers SMTP send
          workers run send_order_email
            workers GET /internal/users/{user_id}
              users GET /internal/users/{user_id}
            workers SMTP send
"""

CANCELLATION = """\
gateway POST /v2/orders/{order_id}/cancel
  gateway POST /orders/{order_id}/cancel
    orders POST /orders/{order_id}/cancel
      orders publish events:orders
        notifications process events:orders
        workers process events:orders
          workers run send_order_email
            workers GET /internal/users/{user_id}
              users GET /internal/users/{user_id}
            workers SMTP send
"""

Send = Callable[[Shopper], Awaitable[httpx.Response]]


def order(items: list[dict[str, Any]], key: str | None) -> Send:
    async def send(shopper: Shopper) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await shopper.send(Request(method="POST", path="/v2/orders", json={"items": items}, headers=headers))

    return send


def get(path: str, *, with_token: bool = True) -> Send:
    async def send(shopper: Shopper) -> httpx.Response:
        return await (shopper.get(path) if with_token else shopper.http.get(path))

    return send


async def order_too_much(shopper: Shopper) -> httpx.Response:
    products = await shopper.products()
    scarce = min(products, key=lambda product: int(product["available"]))
    return await shopper.place_order((scarce["sku"], scarce["available"] + 1))


async def log_in_wrongly(shopper: Shopper) -> httpx.Response:
    return await shopper.send(api.log_in(email=shopper.email, password="not " + PASSWORD))


async def replay_order(shopper: Shopper) -> httpx.Response:
    sku, key = await some_sku(shopper), uuid4().hex
    await shopper.place_order((sku, 1), key=key)
    return await shopper.place_order((sku, 1), key=key)


async def reuse_key(shopper: Shopper) -> httpx.Response:
    sku, key = await some_sku(shopper), uuid4().hex
    await shopper.place_order((sku, 1), key=key)
    return await shopper.place_order((sku, 2), key=key)


async def some_sku(shopper: Shopper) -> str:
    products = await shopper.products()
    return str(max(products, key=lambda product: int(product["available"]))["sku"])


def build_tree(method: str, path: str, *below: str, service: str = "orders") -> str:
    """Return the span tree of a request to one service; `below` has the spans in that service."""
    lines = [f"gateway {method} /v2{path}", f"  gateway {method} {path}", f"    {service} {method} {path}"]
    return "\n".join([*lines, *(f"      {service} {name}" for name in below), ""])


UNKNOWN = [{"sku": "NO-SUCH-THING", "quantity": 1}]

REQUESTS: dict[str, tuple[Send, int, str, dict[str, Any]]] = {
    "an invalid body": (order([], "k"), 422, build_tree("POST", "/orders"), {"hopline.problem": "validation"}),
    "a header missing": (order(UNKNOWN, None), 400, build_tree("POST", "/orders"), {"hopline.problem": "bad-request"}),
    "no such product": (
        order(UNKNOWN, "k"),
        422,
        build_tree("POST", "/orders", "UPDATE product"),
        {"hopline.problem": "unknown-product"},
    ),
    "out of stock": (
        order_too_much,
        409,
        build_tree("POST", "/orders", "UPDATE product"),
        {"hopline.problem": "out-of-stock", "hopline.db.queries": 2},
    ),
    "a replay": (
        replay_order,
        201,
        build_tree("POST", "/orders"),
        {"hopline.order.replayed": True, "hopline.db.queries": 1},
    ),
    "a key used again": (reuse_key, 422, build_tree("POST", "/orders"), {"hopline.problem": "idempotency-key-reused"}),
    "no such order": (
        get(f"/v2/orders/{uuid4()}"),
        404,
        build_tree("GET", "/orders/{order_id}"),
        {"hopline.problem": "order-not-found"},
    ),
    "a wrong password": (
        log_in_wrongly,
        401,
        build_tree("POST", "/tokens", "verify password", service="users"),
        {"hopline.problem": "wrong-credentials"},
    ),
    "no token": (
        get("/v2/users/me", with_token=False),
        401,
        "gateway GET /v2/users/me\n",
        {"hopline.problem": "unauthorized"},
    ),
    "no such path": (get("/v2/nothing"), 404, "gateway GET\n", {"hopline.problem": "not-found"}),
}


class TestShape:
    @pytest.mark.parametrize("request_", REQUESTS.values(), ids=list(REQUESTS))
    async def test_traces_of_other_requests_have_their_shape(
        self, shopper: Shopper, jaeger: httpx.AsyncClient, request_: tuple[Send, int, str, dict[str, Any]]
    ) -> None:
        send, status, tree, expected_tags = request_
        response = await send(shopper)
        assert response.status_code == status
        trace = await wait_for_tree(jaeger, api.trace_id(response) or "", tree)
        tags = [span.tags for span in trace.spans.values()]
        assert any(expected_tags.items() <= of_span.items() for of_span in tags), tags
        [root] = trace.roots
        assert root.tags["http.response.status_code"] == status

    async def test_trace_of_a_cancellation_has_its_shape(self, shopper: Shopper, jaeger: httpx.AsyncClient) -> None:
        cancelled = await shopper.cancelled_order(await some_sku(shopper))
        assert cancelled.status_code == 200
        await wait_for_tree(jaeger, api.trace_id(cancelled) or "", CANCELLATION)

    async def test_trace_of_an_order_has_its_baggage_and_its_log_records_no_secrets(
        self, stack: Stack, shopper: Shopper, jaeger: httpx.AsyncClient
    ) -> None:
        shopper.http.headers["baggage"] = "hopline.synthetic=true"
        with debug_lines(stack) as lines:
            async with shopper.device() as device:
                placed = await shopper.place_order((await some_sku(shopper), 1))
                await device.received("order.shipped")
            trace = await wait_for_tree(jaeger, api.trace_id(placed) or "", JOURNEY)
        last = [*trace.named("send notification"), *trace.named("SMTP send")]
        assert [span.tags.get("hopline.synthetic") for span in last] == ["true"] * 5
        assert not [span for span in trace.spans.values() if span.links]
        written = "".join(lines)
        assert ("log_level_changed" in written) is stack.is_ours
        assert shopper.tokens
        tokens = [shopper.tokens["access_token"], shopper.tokens["refresh_token"]]
        for secret in (shopper.email, PASSWORD, *tokens, *(stack.operator.secrets() if stack.is_ours else [])):
            assert secret not in written
        assert not re.findall(r"[\w.+-]+@[\w-]+\.[a-z]+", written)


def debug_lines(stack: Stack) -> AbstractContextManager[list[str]]:
    """Yield the DEBUG log lines that processes write within the block; empty for a stack of another command."""
    return stack.operator.debug_records() if stack.is_ours else nullcontext([])
