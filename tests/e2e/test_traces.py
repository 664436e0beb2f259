"""The span trees of requests: a complete order, a cancellation, a replay, and requests with error responses."""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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

ORDER_TREE = """\
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

CANCELLATION_TREE = """\
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


def send_order(items: list[dict[str, Any]], key: str | None) -> Send:
    """Return a function that orders `items`, which may be invalid, with this idempotency key or without a key."""

    async def send(shopper: Shopper) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await shopper.send(Request(method="POST", path="/v2/orders", json={"items": items}, headers=headers))

    return send


def send_get(path: str, *, with_token: bool = True) -> Send:
    """Return a function that sends a GET request, with the access token of the shopper or without a token."""

    async def send(shopper: Shopper) -> httpx.Response:
        return await (shopper.get(path) if with_token else shopper.http.get(path))

    return send


async def order_more_than_the_stock(shopper: Shopper) -> httpx.Response:
    products = await shopper.products()
    scarce = min(products, key=lambda product: int(product["available"]))
    return await shopper.place_order((scarce["sku"], scarce["available"] + 1))


async def log_in_with_a_wrong_password(shopper: Shopper) -> httpx.Response:
    return await shopper.send(api.log_in(email=shopper.email, password="not " + PASSWORD))


async def replay_order(shopper: Shopper) -> httpx.Response:
    sku, key = await get_available_sku(shopper), uuid4().hex
    await shopper.place_order((sku, 1), key=key)
    return await shopper.place_order((sku, 1), key=key)


async def place_another_order_with_the_same_key(shopper: Shopper) -> httpx.Response:
    sku, key = await get_available_sku(shopper), uuid4().hex
    await shopper.place_order((sku, 1), key=key)
    return await shopper.place_order((sku, 2), key=key)


async def get_available_sku(shopper: Shopper) -> str:
    """Return the SKU of the product with the largest stock."""
    products = await shopper.products()
    return str(max(products, key=lambda product: int(product["available"]))["sku"])


def build_tree(method: str, path: str, *below: str, service: str = "orders") -> str:
    """Return the span tree of a request to one service. `below` are the names of the spans within that service."""
    lines = [f"gateway {method} /v2{path}", f"  gateway {method} {path}", f"    {service} {method} {path}"]
    return "\n".join([*lines, *(f"      {service} {name}" for name in below), ""])


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A request with its expected status, its expected span tree, and tags that one of its spans must have."""

    send: Send
    status: int
    tree: str
    tags: dict[str, Any]


UNKNOWN_PRODUCT = [{"sku": "NO-SUCH-THING", "quantity": 1}]

SAMPLES = {
    "invalid body": Sample(
        send=send_order([], "k"),
        status=422,
        tree=build_tree("POST", "/orders"),
        tags={"hopline.problem": "validation"},
    ),
    "missing header": Sample(
        send=send_order(UNKNOWN_PRODUCT, None),
        status=400,
        tree=build_tree("POST", "/orders"),
        tags={"hopline.problem": "bad-request"},
    ),
    "unknown product": Sample(
        send=send_order(UNKNOWN_PRODUCT, "k"),
        status=422,
        tree=build_tree("POST", "/orders", "UPDATE product"),
        tags={"hopline.problem": "unknown-product"},
    ),
    "out of stock": Sample(
        send=order_more_than_the_stock,
        status=409,
        tree=build_tree("POST", "/orders", "UPDATE product"),
        tags={"hopline.problem": "out-of-stock", "hopline.db.queries": 2},
    ),
    "replay": Sample(
        send=replay_order,
        status=201,
        tree=build_tree("POST", "/orders"),
        tags={"hopline.order.replayed": True, "hopline.db.queries": 1},
    ),
    "reused key": Sample(
        send=place_another_order_with_the_same_key,
        status=422,
        tree=build_tree("POST", "/orders"),
        tags={"hopline.problem": "idempotency-key-reused"},
    ),
    "unknown order": Sample(
        send=send_get(f"/v2/orders/{uuid4()}"),
        status=404,
        tree=build_tree("GET", "/orders/{order_id}"),
        tags={"hopline.problem": "order-not-found"},
    ),
    "wrong password": Sample(
        send=log_in_with_a_wrong_password,
        status=401,
        tree=build_tree("POST", "/tokens", "verify password", service="users"),
        tags={"hopline.problem": "wrong-credentials"},
    ),
    "missing token": Sample(
        send=send_get("/v2/users/me", with_token=False),
        status=401,
        tree="gateway GET /v2/users/me\n",
        tags={"hopline.problem": "unauthorized"},
    ),
    "unknown path": Sample(
        send=send_get("/v2/nothing"),
        status=404,
        tree="gateway GET\n",
        tags={"hopline.problem": "not-found"},
    ),
}


class TestShape:
    @pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
    async def test_trace_of_a_request_has_the_expected_spans_and_tags(
        self, shopper: Shopper, jaeger: httpx.AsyncClient, sample: Sample
    ) -> None:
        response = await sample.send(shopper)
        assert response.status_code == sample.status
        trace = await wait_for_tree(jaeger, api.trace_id(response) or "", sample.tree)
        tags = [span.tags for span in trace.spans.values()]
        assert any(sample.tags.items() <= of_span.items() for of_span in tags), tags
        [root] = trace.roots
        assert root.tags["http.response.status_code"] == sample.status

    async def test_trace_of_a_cancellation_has_the_expected_spans(
        self, shopper: Shopper, jaeger: httpx.AsyncClient
    ) -> None:
        cancelled = await shopper.place_and_cancel_order(await get_available_sku(shopper))
        assert cancelled.status_code == 200
        await wait_for_tree(jaeger, api.trace_id(cancelled) or "", CANCELLATION_TREE)

    async def test_trace_of_an_order_has_the_expected_spans_and_baggage_and_its_log_records_have_no_secrets(
        self, stack: Stack, shopper: Shopper, jaeger: httpx.AsyncClient
    ) -> None:
        shopper.http.headers["baggage"] = "hopline.synthetic=true"
        with debug_records(stack) as records:
            async with shopper.device() as device:
                placed = await shopper.place_order((await get_available_sku(shopper), 1))
                await device.wait_for("order.shipped")
            trace = await wait_for_tree(jaeger, api.trace_id(placed) or "", ORDER_TREE)
        last_hops = [*trace.named("send notification"), *trace.named("SMTP send")]
        assert len(last_hops) == 5
        assert {span.tags.get("hopline.synthetic") for span in last_hops} == {"true"}
        assert not [span for span in trace.spans.values() if span.links]
        written = "".join(records)
        assert ("log_level_changed" in written) is stack.is_ours  # so the records of the block have been collected
        assert shopper.tokens
        tokens = [shopper.tokens["access_token"], shopper.tokens["refresh_token"]]
        for secret in (shopper.email, PASSWORD, *tokens, *(stack.operator.secrets() if stack.is_ours else [])):
            assert secret not in written
        assert not re.findall(r"[\w.+-]+@[\w-]+\.[a-z]+", written), "a log record contains an email address"


def debug_records(stack: Stack) -> AbstractContextManager[list[str]]:
    """Collect the log records at level DEBUG within the block; none if another command started the stack."""
    return stack.operator.debug_records() if stack.is_ours else nullcontext([])
