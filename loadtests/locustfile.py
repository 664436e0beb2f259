"""Shoppers: they register, look around, order, change their minds, look at their page, and listen on a WebSocket.

`make load USERS=20 RATE=5 TIME=60s` runs them headless against the running stack and fails on errors or slowness; in
Compose, the profile `load` serves the page of Locust on port 8089. Everything they send carries the baggage
`hopline.synthetic=true`, by which traces, log lines and emails of theirs can be told from people's.

It needs what Locust's own image has and nothing else. Locust has replaced sockets and threads by gevent's.
"""

import json
import os
import random
import ssl
import sys
import time
from collections.abc import Mapping
from math import ceil
from typing import Any
from uuid import uuid4

import gevent
import requests
from locust import HttpUser, LoadTestShape, between, events, tag, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from websocket import WebSocket, WebSocketException, create_connection

SYNTHETIC = {"baggage": "hopline.synthetic=true"}
PASSWORD = "correct horse battery staple"  # noqa: S105 - of shoppers who exist for a minute
PUSHED_WITHIN_S = 10.0
"""A placed order whose frame is not there by then counts as a failure."""

PLENTY = 100
"""Shoppers leave a product alone that is scarce: it is for people to see."""

_CONFLICT = 409
_ALMOST_EXPIRED_S = 30.0


def gateway_url() -> str:
    """HOPLINE_GATEWAY_URL, or where `make up` with this HOPLINE_PORT_OFFSET puts it."""
    port = 8000 + int(os.environ.get("HOPLINE_PORT_OFFSET") or 0)
    return os.environ.get("HOPLINE_GATEWAY_URL") or f"http://localhost:{port}"


class Pushes:
    """A shopper's WebSocket: measures how long after an order was sent its notification arrives."""

    def __init__(self, *, environment: Environment, ticket: Mapping[str, Any]) -> None:
        self._environment = environment
        self._sent: dict[str, float] = {}
        self._arrived: dict[str, float] = {}
        url = os.environ.get("HOPLINE_WS_URL") or ticket["url"]  # in a container, localhost is somebody else
        self._socket: WebSocket = create_connection(
            url, header=SYNTHETIC, timeout=PUSHED_WITHIN_S, sslopt={"cert_reqs": ssl.CERT_REQUIRED}
        )
        self._say({"t": "hello", "v": 1, "ticket": ticket["ticket"], "cursor": 0})
        self._listener = gevent.spawn(self._listen)

    def ordered(self, order_id: str, *, sent_at: float) -> None:
        """Wait for this order's frame, which may be earlier than the answer that names the order."""
        self._sent[order_id] = sent_at
        self._report(order_id)

    def check(self) -> None:
        """Report what should have arrived long ago as failed."""
        now = time.perf_counter()
        for order_id, sent_at in list(self._sent.items()):
            if now - sent_at >= PUSHED_WITHIN_S:
                del self._sent[order_id]
                self._fire(now - sent_at, WebSocketException(f"no frame within {PUSHED_WITHIN_S:g} s"))

    def close(self) -> None:
        """Wait for what is on its way, then hang up."""
        patience_s = time.perf_counter() + PUSHED_WITHIN_S
        while self._sent and time.perf_counter() < patience_s:
            gevent.sleep(0.05)
        self.check()
        self._listener.kill()
        self._socket.close()

    def _listen(self) -> None:
        cursor = 0
        self._socket.settimeout(None)
        try:
            while message := self._socket.recv():
                frame = json.loads(message)
                if frame["t"] == "n":
                    cursor = frame["seq"]
                    if frame["kind"] == "order.placed":
                        self._arrived[frame["data"]["order_id"]] = time.perf_counter()
                        self._report(frame["data"]["order_id"])
                elif frame["t"] == "ping":
                    self._say({"t": "pong", "cursor": cursor})
        except (WebSocketException, OSError) as error:
            self._fire(0, error)

    def _report(self, order_id: str) -> None:
        if order_id in self._sent and order_id in self._arrived:
            self._fire(self._arrived.pop(order_id) - self._sent.pop(order_id), None)

    def _fire(self, seconds: float, error: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type="WS",
            name="order placed → frame",
            response_time=seconds * 1000,
            response_length=0,
            exception=error,
            context={},
        )

    def _say(self, frame: Mapping[str, Any]) -> None:
        self._socket.send(json.dumps(frame))


class Shopper(HttpUser):
    """One customer. The weights are what people do: they look much more often than they buy."""

    host = gateway_url()
    wait_time = between(0.5, 2.0)

    def on_start(self) -> None:
        """Register, log in, and open the WebSocket."""
        self.client.headers.update(SYNTHETIC)
        self.email = f"shopper-{uuid4().hex[:12]}@load.hopline.example"
        self.orders: list[str] = []
        self.pushes: Pushes | None = None
        self.refresh_token = ""
        self.expires_at = 0.0
        self.client.post("/v2/users", json={"email": self.email, "password": PASSWORD, "name": "A shopper"})
        self._keep_logged_in()
        self.skus = self._plentiful()
        with self.client.post("/v2/ws-tickets", catch_response=True) as response:
            if response.ok:
                self.pushes = Pushes(environment=self.environment, ticket=response.json())

    def on_stop(self) -> None:
        """Hang up."""
        if self.pushes:
            self.pushes.close()

    @task(5)
    def browse(self) -> None:
        """Look at the shelves, and at one product."""
        products = self._products()
        if products:
            sku = random.choice(products)["sku"]  # noqa: S311 - shopping is no cryptography
            self.client.get(f"/v2/products/{sku}", name="/v2/products/{sku}")

    @task(4)
    def look_at_own_page(self) -> None:
        """See what is new."""
        self._keep_logged_in()
        self.client.get("/v2/dashboard")

    @tag("order")
    @task(3)
    def order(self) -> None:
        """Buy one or two things; a shelf that is empty by now is no failure."""
        self._keep_logged_in()
        self.skus = self.skus or self._plentiful()
        if not self.skus:
            return
        wanted = random.sample(self.skus, k=min(len(self.skus), random.randint(1, 2)))  # noqa: S311
        items = [{"sku": sku, "quantity": 1} for sku in wanted]
        sent_at = time.perf_counter()
        key = {"Idempotency-Key": uuid4().hex}
        with self.client.post("/v2/orders", json={"items": items}, headers=key, catch_response=True) as response:
            if response.status_code == _CONFLICT:
                response.success()
            elif response.ok:
                order_id = response.json()["id"]
                self.orders.append(order_id)
                if self.pushes:
                    self.pushes.check()
                    self.pushes.ordered(order_id, sent_at=sent_at)

    @task(1)
    def cancel(self) -> None:
        """Change one's mind; that it is packed already is no failure."""
        if not self.orders:
            return
        self._keep_logged_in()
        path = f"/v2/orders/{self.orders.pop()}/cancel"
        with self.client.post(path, name="/v2/orders/{order_id}/cancel", catch_response=True) as response:
            if response.status_code == _CONFLICT:
                response.success()

    @task(1)
    def look_back(self) -> None:
        """See what one has bought."""
        self._keep_logged_in()
        self.client.get("/v2/orders?limit=20", name="/v2/orders")

    def _products(self) -> list[dict[str, Any]]:
        with self.client.get("/v2/products?limit=50", name="/v2/products", catch_response=True) as response:
            return list(response.json()["items"]) if response.ok else []

    def _plentiful(self) -> list[str]:
        return [product["sku"] for product in self._products() if product["available"] > PLENTY]

    def _keep_logged_in(self) -> None:
        if not self.refresh_token:
            self._log_in({"grant_type": "password", "username": self.email, "password": PASSWORD})
        elif time.monotonic() > self.expires_at - _ALMOST_EXPIRED_S:
            self._log_in({"grant_type": "refresh_token", "refresh_token": self.refresh_token})

    def _log_in(self, form: Mapping[str, str]) -> None:
        with self.client.post("/v2/tokens", data=form, catch_response=True) as response:
            self.refresh_token = ""
            if response.ok:
                tokens = response.json()
                self.expires_at = time.monotonic() + tokens["expires_in"]
                self.refresh_token = tokens["refresh_token"]
                self.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"


class Stairs(LoadTestShape):
    """A quarter of the shoppers, a half, three quarters, all: the step at which a curve bends is what it can carry."""

    use_common_options = True
    steps = 4

    def tick(self) -> tuple[int, float] | None:
        """How many shoppers now, and how many more per second until then; None at the end."""
        options = self.runner.environment.parsed_options if self.runner else None
        if options is None:
            return None
        lasts_s = float(options.run_time or 0)
        if lasts_s and self.get_run_time() > lasts_s:
            return None
        step = ceil(self.steps * self.get_run_time() / lasts_s) if lasts_s else self.steps
        return ceil((options.num_users or 1) * max(step, 1) / self.steps), options.spawn_rate or 1


@events.init_command_line_parser.add_listener
def _add_bounds(parser: LocustArgumentParser) -> None:
    parser.add_argument("--max-failures", type=float, default=1.0, help="percent of all requests (default 1)")
    parser.add_argument("--max-p95-ms", type=float, default=500.0, help="milliseconds, of all requests (default 500)")


@events.init.add_listener
def _find_stack(environment: Environment, **_more: object) -> None:
    """Say in one line that there is nothing to load, instead of a thousand failures."""
    options = environment.parsed_options
    if options is None or not options.headless:
        return
    url = options.host or Shopper.host
    try:
        requests.get(f"{url}/health/live", timeout=5)
    except requests.RequestException:
        print(f"nothing answers at {url}: start Hopline first (make up)", file=sys.stderr)
        sys.exit(1)


@events.quitting.add_listener
def _judge(environment: Environment, **_more: object) -> None:
    """Fail the run by its failures or its slowness."""
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
