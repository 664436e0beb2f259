"""A customer of a running stack, with an HTTP client of the gateway and WebSocket devices."""

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx

from hopline_client import api, device
from hopline_client.api import ProblemError, Request
from hopline_client.backoff import NO_RETRIES
from hopline_client.models import Product, User
from hopline_client.realtime import Frame
from hopline_client.rest import Client
from testkit.waiting import TIMEOUT_S, eventually

PASSWORD = "correct horse battery staple"


class Device(device.Device):
    """A device that does not reconnect, and disconnects at a gap or a repeat. `frames` are all its notifications."""

    def __init__(self, *, client: Client, cursor: int = 0) -> None:
        super().__init__(client=client, cursor=cursor, resumes=False, on_frame=self._keep)
        self.frames: list[Frame] = []

    @property
    def kinds(self) -> list[str]:
        """The kinds of the notifications received, in order."""
        return [frame["kind"] for frame in self.frames]

    async def wait_for(self, *kinds: str, timeout: float = TIMEOUT_S) -> list[Frame]:  # noqa: ASYNC109
        """Wait until notifications of all these kinds have arrived, and return all notifications until then.

        Raises:
            AssertionError: A kind has not arrived in time.
            DisconnectedError: The connection has ended before.
        """

        def have_arrived() -> bool:
            missing = set(kinds) - set(self.kinds)
            if missing and self._running and self._running.done():
                self._running.result()
            assert not missing, f"received {self.kinds} without {sorted(missing)}"
            return True

        await eventually(have_arrived, timeout, f"notifications {kinds}")
        return self.frames

    def _keep(self, frame: Frame) -> None:
        if frame["t"] == "n":
            self.frames.append(frame)


class Shopper(Client):
    """A registered customer who is logged in and sends each request once.

    `trace_id` is the trace id of the registration.
    """

    def __init__(self, *, http: httpx.AsyncClient, user: User, trace_id: str) -> None:
        super().__init__(http=http, retry_policy=NO_RETRIES, timeout_s=TIMEOUT_S)
        self.user = user
        self.email = user["email"]
        self.trace_id = trace_id

    async def get(self, path: str) -> httpx.Response:
        """Send a GET request to any path, and return the response."""
        return await self.send(Request(method="GET", path=path))

    async def products(self) -> list[Product]:
        """Return the products, at most 100."""
        return (await self.call(api.list_products(limit=100)))["items"]

    async def place_order(self, *items: tuple[str, int], key: str | None = None) -> httpx.Response:
        """Order these `(sku, quantity)` pairs, with a new idempotency key if `key` is None. Return the response."""
        return await self.send(api.place_order(*items, key=key))

    async def place_and_cancel_order(self, sku: str) -> httpx.Response:
        """Place an order, cancel it, and return the response to the cancellation.

        An order that was packed before cannot be cancelled. Then the shopper tries again, with at most ten orders.
        """
        for _ in range(10):
            order = (await self.place_order((sku, 1))).raise_for_status().json()
            response = await self.send(api.cancel_order(order["id"]))
            if response.status_code != HTTPStatus.CONFLICT:
                break
        return response

    def device(self, *, cursor: int = 0) -> Device:
        """Return a device, for `async with`."""
        return Device(client=self, cursor=cursor)


async def register(http: httpx.AsyncClient) -> Shopper:
    """Register a new customer and log in. Repeat a request that a busy machine rejects as one of too many logins."""
    email = f"shopper-{uuid4().hex[:12]}@example.com"
    request = api.register(email=email, password=PASSWORD, name="Ada Shopper")
    client = Client(http=http, retry_policy=NO_RETRIES, timeout_s=TIMEOUT_S)
    response = await _send_until_accepted(client, request)
    shopper = Shopper(http=http, user=api.read(request, response), trace_id=api.trace_id(response) or "")
    login = api.log_in(email=email, password=PASSWORD)
    shopper.tokens = api.read(login, await _send_until_accepted(shopper, login))
    return shopper


async def _send_until_accepted(client: Client, request: Request[Any]) -> httpx.Response:
    async def send() -> httpx.Response | None:
        response = await client.send(request)
        is_busy = response.is_error and ProblemError(request, response).slug == "too-many-logins"
        return None if is_busy else response

    response = await eventually(send, what="a response other than too-many-logins")
    assert response
    return response
