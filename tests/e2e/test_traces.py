"""The shape of a trace says what happened: an order's whole journey, and eleven requests that went another way."""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

import httpx
import pytest

from testkit.jaeger import StoredTrace, stored_trace
from testkit.shopper import PASSWORD, Shopper
from testkit.stack import Stack
from testkit.waiting import eventually

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

Ask = Callable[[Shopper], Awaitable[httpx.Response]]


def order(items: list[dict[str, Any]], key: str | None) -> Ask:
    async def ask(shopper: Shopper) -> httpx.Response:
        headers = shopper.headers | ({"Idempotency-Key": key} if key else {})
        return await shopper.client.post("/v2/orders", json={"items": items}, headers=headers)

    return ask


def get(path: str, *, known: bool = True) -> Ask:
    async def ask(shopper: Shopper) -> httpx.Response:
        return await shopper.client.get(path, headers=shopper.headers if known else {})

    return ask


async def too_much(shopper: Shopper) -> httpx.Response:
    products = (await shopper.client.get("/v2/products", params={"limit": 100})).json()["items"]
    scarce = min(products, key=lambda product: int(product["available"]))
    return await shopper.place_order((scarce["sku"], scarce["available"] + 1))


async def wrong_password(shopper: Shopper) -> httpx.Response:
    form = {"grant_type": "password", "username": shopper.email, "password": "not " + PASSWORD}
    return await shopper.client.post("/v2/tokens", data=form)


async def replay(shopper: Shopper) -> httpx.Response:
    sku, key = await some_sku(shopper), uuid4().hex
    await shopper.place_order((sku, 1), key=key)
    return await shopper.place_order((sku, 1), key=key)


async def reuse(shopper: Shopper) -> httpx.Response:
    sku, key = await some_sku(shopper), uuid4().hex
    await shopper.place_order((sku, 1), key=key)
    return await shopper.place_order((sku, 2), key=key)


async def some_sku(shopper: Shopper) -> str:
    products = (await shopper.client.get("/v2/products")).json()["items"]
    return str(max(products, key=lambda product: int(product["available"]))["sku"])


def through(method: str, path: str, *below: str, service: str = "orders") -> str:
    """The tree of a request that one service answers; `below` is what happened there."""
    lines = [f"gateway {method} /v2{path}", f"  gateway {method} {path}", f"    {service} {method} {path}"]
    return "\n".join([*lines, *(f"      {service} {name}" for name in below), ""])


UNKNOWN = [{"sku": "NO-SUCH-THING", "quantity": 1}]

REQUESTS: dict[str, tuple[Ask, int, str, dict[str, Any]]] = {
    "an invalid body": (order([], "k"), 422, through("POST", "/orders"), {"hopline.problem": "validation"}),
    "a header missing": (order(UNKNOWN, None), 400, through("POST", "/orders"), {"hopline.problem": "bad-request"}),
    "no such product": (
        order(UNKNOWN, "k"),
        422,
        through("POST", "/orders", "UPDATE product"),
        {"hopline.problem": "unknown-product"},
    ),
    "out of stock": (
        too_much,
        409,
        through("POST", "/orders", "UPDATE product"),
        {"hopline.problem": "out-of-stock", "hopline.db.queries": 2},
    ),
    "a replay": (replay, 201, through("POST", "/orders"), {"hopline.order.replayed": True, "hopline.db.queries": 1}),
    "a key used again": (reuse, 422, through("POST", "/orders"), {"hopline.problem": "idempotency-key-reused"}),
    "no such order": (
        get(f"/v2/orders/{uuid4()}"),
        404,
        through("GET", "/orders/{order_id}"),
        {"hopline.problem": "order-not-found"},
    ),
    "a wrong password": (
        wrong_password,
        401,
        through("POST", "/tokens", "verify password", service="users"),
        {"hopline.problem": "wrong-credentials"},
    ),
    "no token": (
        get("/v2/users/me", known=False),
        401,
        "gateway GET /v2/users/me\n",
        {"hopline.problem": "unauthorized"},
    ),
    "no such path": (get("/v2/nothing"), 404, "gateway GET\n", {"hopline.problem": "not-found"}),
}


async def shaped(jaeger: httpx.AsyncClient, response: httpx.Response, tree: str) -> StoredTrace:
    """Wait until the response's trace has this tree."""

    async def arrived() -> StoredTrace:
        trace = await stored_trace(jaeger, response.headers["traceresponse"].split("-")[1])
        assert trace.tree() == tree
        return trace

    return await eventually(arrived)


class TestShape:
    @pytest.mark.parametrize("request_", REQUESTS.values(), ids=list(REQUESTS))
    async def test_of_what_went_another_way(
        self, shopper: Shopper, jaeger: httpx.AsyncClient, request_: tuple[Ask, int, str, dict[str, Any]]
    ) -> None:
        ask, status, tree, noted = request_
        response = await ask(shopper)
        assert response.status_code == status
        trace = await shaped(jaeger, response, tree)
        tags = [span.tags for span in trace.spans.values()]
        assert any(noted.items() <= of_span.items() for of_span in tags), tags
        [root] = trace.roots
        assert root.tags["http.response.status_code"] == status

    async def test_of_a_cancellation(self, shopper: Shopper, jaeger: httpx.AsyncClient) -> None:
        cancelled = await shopper.cancelled_order(await some_sku(shopper))
        assert cancelled.status_code == 200
        await shaped(jaeger, cancelled, CANCELLATION)

    async def test_of_an_order_to_the_last_hops_with_its_baggage_and_no_secret_in_any_line(
        self, stack: Stack, shopper: Shopper, jaeger: httpx.AsyncClient
    ) -> None:
        shopper.client.headers["baggage"] = "hopline.synthetic=true"
        with debug_lines(stack) as lines:
            async with shopper.device() as device:
                placed = await shopper.place_order((await some_sku(shopper), 1))
                await device.received("order.shipped")
            trace = await shaped(jaeger, placed, JOURNEY)
        last = [*trace.named("send notification"), *trace.named("SMTP send")]
        assert [span.tags.get("hopline.synthetic") for span in last] == ["true"] * 5
        assert not [span for span in trace.spans.values() if span.links]
        written = "".join(lines)
        assert ("log_level_changed" in written) is stack.is_ours
        tokens = [shopper.tokens["access_token"], shopper.tokens["refresh_token"]]
        for secret in (shopper.email, PASSWORD, *tokens, *(stack.operator.secrets() if stack.is_ours else [])):
            assert secret not in written
        assert not re.findall(r"[\w.+-]+@[\w-]+\.[a-z]+", written)


def debug_lines(stack: Stack) -> AbstractContextManager[list[str]]:
    """What the processes of our own stack write within the block, at DEBUG; nothing where the stack is another's."""
    return stack.operator.lines_at_debug() if stack.is_ours else nullcontext([])
