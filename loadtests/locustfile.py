"""Shoppers register, browse, order, cancel, read their dashboard, and receive notifications on a WebSocket.

`make load USERS=20 RATE=5 TIME=60s` runs them headless against the running stack, and fails if too many requests fail
or are slow. In Compose, the profile `load` serves the page of Locust on port 8089. All their requests carry the baggage
`hopline.synthetic=true`, which distinguishes their traces, log records and emails from those of people.

This file imports only packages of Locust's own image, and the modules of hopline-client that need no other package.
Locust replaces sockets and threads by those of gevent.
"""

import json
import os
import random
import ssl
import sys
import time
from http import HTTPStatus
from math import ceil
from typing import TypeVar
from uuid import uuid4

import gevent
import requests
from locust import HttpUser, LoadTestShape, between, events, tag, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from websocket import WebSocket, WebSocketException, create_connection

from hopline_client import api
from hopline_client.api import Request
from hopline_client.models import Product, Ticket, Tokens
from hopline_client.realtime import Feed, Frame

T = TypeVar("T")

SYNTHETIC = {"baggage": "hopline.synthetic=true"}
PASSWORD = "correct horse battery staple"  # noqa: S105 - accounts of a load test
PUSHED_WITHIN_S = 10.0
"""Time in which the notification of a placed order must arrive. Otherwise it counts as a failed request."""

MIN_UNITS_LEFT = 100
"""Shoppers order only products of which more units are available, so that people can order the others."""

_REFRESH_BEFORE_S = 30.0
"""Remaining lifetime of an access token at which it is refreshed."""


def gateway_url() -> str:
    """Return HOPLINE_GATEWAY_URL, or by default the URL of the stack that `make up` starts with HOPLINE_PORT_OFFSET.

    Exits with a message if the offset is invalid.
    """
    if url := os.environ.get("HOPLINE_GATEWAY_URL"):
        return url
    raw, offset = os.environ.get("HOPLINE_PORT_OFFSET", ""), 0
    if raw:
        from shared.validation.port_offset import parse_port_offset  # Locust's image has neither it nor the variable

        try:
            offset = parse_port_offset(raw)
        except ValueError as error:
            sys.exit(f"HOPLINE_PORT_OFFSET={raw!r}: {error}")
    return f"http://localhost:{8000 + offset}"


class NotificationSocket:
    """The WebSocket of one shopper, which measures the time from an order to its notification."""

    def __init__(self, *, environment: Environment, ticket: Ticket) -> None:
        self._environment = environment
        self._feed = Feed()
        self._sent_at: dict[str, float] = {}
        self._arrived_at: dict[str, float] = {}
        url = os.environ.get("HOPLINE_WS_URL") or ticket["url"]  # in a container, localhost is another host
        self._socket: WebSocket = create_connection(
            url, header=SYNTHETIC, timeout=PUSHED_WITHIN_S, sslopt={"cert_reqs": ssl.CERT_REQUIRED}
        )
        self._socket.send(json.dumps(self._feed.hello(ticket["ticket"])))
        self._listener = gevent.spawn(self._listen)

    def expect(self, order_id: str, *, sent_at: float) -> None:
        """Expect the notification of an order that was sent at `sent_at`, a time of `time.perf_counter()`.

        The notification may have arrived already, before the response that contains the order's id.
        """
        self._sent_at[order_id] = sent_at
        self._report_if_arrived(order_id)

    def report_late(self) -> None:
        """Report each notification that did not arrive in time as a failed request."""
        now = time.perf_counter()
        for order_id, sent_at in list(self._sent_at.items()):
            if now - sent_at >= PUSHED_WITHIN_S:
                del self._sent_at[order_id]
                self._fire(now - sent_at, WebSocketException(f"no frame within {PUSHED_WITHIN_S:g} s"))

    def close(self) -> None:
        """Wait for the expected notifications, then disconnect."""
        deadline = time.perf_counter() + PUSHED_WITHIN_S
        while self._sent_at and time.perf_counter() < deadline:
            gevent.sleep(0.05)
        self.report_late()
        self._listener.kill()
        self._socket.close()

    def _listen(self) -> None:
        self._socket.settimeout(None)
        try:
            while message := self._socket.recv():
                frame = Frame.parse(message)
                handling = self._feed.handle(frame)
                if handling.response:
                    self._socket.send(json.dumps(handling.response))
                if handling.is_new and frame.get("kind") == "order.placed":
                    self._arrived_at[frame["data"]["order_id"]] = frame.received_at
                    self._report_if_arrived(frame["data"]["order_id"])
        except (WebSocketException, OSError) as error:
            self._fire(0, error)

    def _report_if_arrived(self, order_id: str) -> None:
        if order_id in self._sent_at and order_id in self._arrived_at:
            self._fire(self._arrived_at.pop(order_id) - self._sent_at.pop(order_id), None)

    def _fire(self, seconds: float, error: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type="WS",
            name="order placed → frame",
            response_time=seconds * 1000,
            response_length=0,
            exception=error,
            context={},
        )


class Shopper(HttpUser):
    """One customer. The weights of the tasks resemble those of people, who read much more often than they buy."""

    host = gateway_url()
    wait_time = between(0.5, 2.0)

    def on_start(self) -> None:
        """Register, log in, and open the WebSocket."""
        self.client.headers.update(SYNTHETIC)
        self.email = f"shopper-{uuid4().hex[:12]}@load.hopline.example"
        self.orders: list[str] = []
        self.notifications: NotificationSocket | None = None
        self.tokens: Tokens | None = None
        self.expires_at = 0.0
        self._send(api.register(email=self.email, password=PASSWORD, name="A shopper"))
        self._keep_logged_in()
        self.skus = self._list_plentiful_skus()
        if ticket := self._send(api.create_ticket()):
            self.notifications = NotificationSocket(environment=self.environment, ticket=ticket)

    def on_stop(self) -> None:
        """Disconnect."""
        if self.notifications:
            self.notifications.close()

    @task(5)
    def browse(self) -> None:
        """Read the list of products, then one of the products."""
        if products := self._list_products():
            self._send(api.get_product(random.choice(products)["sku"]))  # noqa: S311 - no secret

    @task(4)
    def read_dashboard(self) -> None:
        """Read the dashboard."""
        self._keep_logged_in()
        self._send(api.get_dashboard())

    @tag("order")
    @task(3)
    def order(self) -> None:
        """Order one or two products. A conflict, because a product is out of stock, is not a failure."""
        self._keep_logged_in()
        self.skus = self.skus or self._list_plentiful_skus()
        if not self.skus:
            return
        wanted = random.sample(self.skus, k=min(len(self.skus), random.randint(1, 2)))  # noqa: S311
        sent_at = time.perf_counter()
        if order := self._send(api.place_order(*((sku, 1) for sku in wanted)), allows_conflict=True):
            self.orders.append(order["id"])
            if self.notifications:
                self.notifications.report_late()
                self.notifications.expect(order["id"], sent_at=sent_at)

    @task(1)
    def cancel(self) -> None:
        """Cancel the latest order. A conflict, because it is already packed, is not a failure."""
        if self.orders:
            self._keep_logged_in()
            self._send(api.cancel_order(self.orders.pop()), allows_conflict=True)

    @task(1)
    def list_orders(self) -> None:
        """List the latest orders of the shopper."""
        self._keep_logged_in()
        self._send(api.list_orders(limit=20))

    def _list_products(self) -> list[Product]:
        page = self._send(api.list_products(limit=50))
        return page["items"] if page else []

    def _list_plentiful_skus(self) -> list[str]:
        return [product["sku"] for product in self._list_products() if product["available"] > MIN_UNITS_LEFT]

    def _keep_logged_in(self) -> None:
        if self.tokens and time.monotonic() < self.expires_at - _REFRESH_BEFORE_S:
            return
        log_in = api.log_in(email=self.email, password=PASSWORD)
        self.tokens = self._send(api.refresh(self.tokens["refresh_token"]) if self.tokens else log_in)
        if self.tokens:
            self.expires_at = time.monotonic() + self.tokens["expires_in"]
            self.client.headers["Authorization"] = f"Bearer {self.tokens['access_token']}"

    def _send(self, request: Request[T], *, allows_conflict: bool = False) -> T | None:
        """Send a request, which counts under the name of its route. Return the body, or None if the request failed."""
        with self.client.request(
            **request.arguments(), headers=dict(request.headers), name=request.route, catch_response=True
        ) as response:
            if allows_conflict and response.status_code == HTTPStatus.CONFLICT:
                response.success()
            return api.read(request, response) if response.ok else None


class Stairs(LoadTestShape):
    """The number of shoppers grows in four steps to all. The report shows at which step responses get slow."""

    use_common_options = True
    steps = 4

    def tick(self) -> tuple[int, float] | None:
        """Return the current number of shoppers and how many start per second; None at the end."""
        options = self.runner.environment.parsed_options if self.runner else None
        if options is None:
            return None
        duration_s = float(options.run_time or 0)
        if duration_s and self.get_run_time() > duration_s:
            return None
        step = ceil(self.steps * self.get_run_time() / duration_s) if duration_s else self.steps
        return ceil((options.num_users or 1) * max(step, 1) / self.steps), options.spawn_rate or 1


@events.init_command_line_parser.add_listener
def _add_limits(parser: LocustArgumentParser) -> None:
    parser.add_argument(
        "--max-failures", type=float, default=1.0, help="maximum percentage of failed requests (default 1)"
    )
    parser.add_argument(
        "--max-p95-ms",
        type=float,
        default=500.0,
        help="maximum 95th percentile of all response times, in milliseconds (default 500)",
    )


@events.init.add_listener
def _exit_without_stack(environment: Environment, **_more: object) -> None:
    """Exit with one message if no stack is running. Otherwise every request would fail."""
    options = environment.parsed_options
    if options is None or not options.headless:
        return
    url = options.host or Shopper.host
    try:
        requests.get(f"{url}/health/live", timeout=5)
    except requests.RequestException:
        print(f"cannot connect to {url}: start Hopline first (make up)", file=sys.stderr)
        sys.exit(1)


@events.quitting.add_listener
def _set_exit_status(environment: Environment, **_more: object) -> None:
    """Set the exit status of a headless run: 1 if too many requests failed or were slow, else 0."""
    total, options = environment.stats.total, environment.parsed_options
    if options is None or not options.headless:
        return
    failures, p95_ms = 100 * total.fail_ratio, total.get_response_time_percentile(0.95) or 0
    passed = total.num_requests > 0 and failures <= options.max_failures and p95_ms <= options.max_p95_ms
    environment.process_exit_code = 0 if passed else 1
    print(
        f"{'passed' if passed else 'FAILED'}: {total.num_requests} requests, {failures:.2f} % failed "
        f"(at most {options.max_failures:g}), p95 {p95_ms:.0f} ms (at most {options.max_p95_ms:g})"
    )
