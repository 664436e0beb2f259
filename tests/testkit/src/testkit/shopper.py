"""A customer of the running system: talks to the gateway and the WebSocket as any client would."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from testkit.waiting import PATIENCE_S, eventually

PASSWORD = "correct horse battery staple"
_TOO_LATE = 409


OnFrame = Callable[[dict[str, Any]], None]


class Device:
    """One open WebSocket of a shopper: collects frames, hands each to `on_frame` too, answers pings."""

    def __init__(self, socket: ClientConnection, *, cursor: int, on_frame: OnFrame | None = None) -> None:
        self._socket = socket
        self._cursor = cursor
        self._on_notification = on_frame
        self.welcome: dict[str, Any] | None = None
        self.frames: list[dict[str, Any]] = []
        self.close_code: int | None = None

    @property
    def kinds(self) -> list[str]:
        """The kinds of the notifications received, in order."""
        return [frame["kind"] for frame in self.frames]

    @property
    def is_closed(self) -> bool:
        """Whether nothing comes any more."""
        return self.close_code is not None

    async def listen(self) -> None:
        """Read until the server closes."""
        try:
            async for message in self._socket:
                await self._on_frame(orjson.loads(message))
        except ConnectionClosed:
            pass
        self.close_code = self._socket.close_code

    async def _on_frame(self, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "welcome":
                self.welcome = frame
            case "n":
                self.frames.append(frame)
                if self._on_notification:
                    self._on_notification(frame)
                self._cursor = frame["seq"]
            case "ping":
                await self._socket.send(orjson.dumps({"t": "pong", "cursor": self._cursor}).decode())

    async def closed(self) -> None:
        """Return once the connection is over, however it ended."""
        await self._socket.wait_closed()

    def cut(self) -> None:
        """End the connection without a word."""
        self._socket.transport.abort()

    async def received(self, *kinds: str, timeout: float = PATIENCE_S) -> list[dict[str, Any]]:  # noqa: ASYNC109
        """Wait until all `kinds` have arrived; return every notification so far."""
        await eventually(lambda: set(kinds) <= set(self.kinds), timeout, f"{kinds} among {self.kinds}")
        return self.frames


class Shopper:
    """A registered customer with a token; `trace_id` is that of the registration."""

    def __init__(
        self, *, client: httpx.AsyncClient, user: dict[str, Any], email: str, tokens: dict[str, Any], trace_id: str
    ) -> None:
        self.client = client
        self.user = user
        self.email = email
        self.tokens = tokens
        self.trace_id = trace_id

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def get(self, path: str) -> httpx.Response:
        """GET as this shopper."""
        return await self.client.get(path, headers=self.headers)

    async def place_order(self, *items: tuple[str, int], key: str | None = None) -> httpx.Response:
        """Order `(sku, quantity)` pairs; a new idempotency key unless one is given."""
        return await self.client.post(
            "/v2/orders",
            json={"items": [{"sku": sku, "quantity": quantity} for sku, quantity in items]},
            headers=self.headers | {"Idempotency-Key": key or uuid4().hex},
        )

    async def cancelled_order(self, sku: str) -> httpx.Response:
        """The answer to cancelling a new order, and another one where it was packed meanwhile, at most ten."""
        for _ in range(10):
            order = (await self.place_order((sku, 1))).raise_for_status().json()
            answer = await self.client.post(f"/v2/orders/{order['id']}/cancel", headers=self.headers)
            if answer.status_code != _TOO_LATE:
                break
        return answer

    @asynccontextmanager
    async def device(self, *, cursor: int = 0, on_frame: OnFrame | None = None) -> AsyncIterator[Device]:
        """An open WebSocket that has been welcomed. Raises AssertionError where it is closed instead."""
        ticket = (await self.client.post("/v2/ws-tickets", headers=self.headers)).raise_for_status().json()
        async with connect(ticket["url"]) as socket:
            hello = {"t": "hello", "v": 1, "ticket": ticket["ticket"], "cursor": cursor}
            await socket.send(orjson.dumps(hello).decode())
            device = Device(socket, cursor=cursor, on_frame=on_frame)
            reading = asyncio.create_task(device.listen())
            try:
                await eventually(lambda: device.welcome or device.is_closed, what="the welcome frame")
                assert device.welcome, f"closed with {device.close_code}"
                yield device
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading


async def register(client: httpx.AsyncClient) -> Shopper:
    """A new shopper, through `POST /v2/users` and `POST /v2/tokens`."""
    email = f"shopper-{uuid4().hex[:12]}@example.com"
    user = await client.post("/v2/users", json={"email": email, "password": PASSWORD, "name": "Ada Shopper"})
    user.raise_for_status()
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    tokens = (await client.post("/v2/tokens", data=form)).raise_for_status().json()
    trace_id = user.headers["traceresponse"].split("-")[1]
    return Shopper(client=client, user=user.json(), email=email, tokens=tokens, trace_id=trace_id)
