"""Receives the body of each request, and cancels the request if its client disconnects.

The whole body is received before the request takes a slot of `gateway.resilience.shedding`, because a client that sends
slowly or stops in the middle must not hold a slot. `shared.web.request_body` limits the size of bodies and the time in
which they arrive. This module limits the number of incomplete bodies, and so the memory that all of them take.
"""

import asyncio
import random

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import OverloadedError
from gateway.resilience import metrics
from gateway.resilience.shedding import MAX_RETRY_AFTER_S
from gateway.versions import is_api_request
from shared.errors.problems import TooManyRequestsError
from shared.web.client_address import AddressLimit, get_client_address
from shared.web.headers import get_header

log = structlog.get_logger(__name__)

WATCH_DELAY_S = 0.02
"""Time after which a task waits for the client to disconnect. Most requests have ended by then; a task costs 20 µs."""


class ClientConnectionMiddleware:
    """ASGI middleware that receives the body of a request and cancels the request if its client disconnects.

    The server itself cancels nothing. A cancelled upstream call closes its connection, so that the service can stop as
    well. `uploads` limits the number of incomplete bodies. A body that arrived together with the head of the request is
    not counted, so it is also accepted if the limit is reached. After `watch_delay_s` seconds, a task begins to wait
    for the client to disconnect.
    """

    def __init__(self, app: ASGIApp, *, uploads: AddressLimit, watch_delay_s: float = WATCH_DELAY_S) -> None:
        self._app = app
        self._uploads = uploads
        self._watch_delay_s = watch_delay_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API; others pass through. Sends no response if the client disconnects.

        Raises:
            TooManyRequestsError: The client's address has too many incomplete uploads.
            OverloadedError: The process has too many incomplete uploads.
        """
        if not is_api_request(scope):
            await self._app(scope, receive, send)
            return
        client = _Client(receive, send)
        try:
            if get_header(scope, b"transfer-encoding") or get_header(scope, b"content-length") not in {None, "0"}:
                await self._receive_upload(client, get_client_address(scope))
            else:
                await client.receive_body()
            async with client.cancellation:
                client.start_watch(delay_s=self._watch_delay_s)
                try:
                    await self._app(scope, client.receive, client.send)
                finally:
                    client.stop_watch()
        except ClientDisconnect:
            log.info("client_disconnected")
        except TimeoutError:
            if not client.is_gone:  # raised by the application, not by `client.cancellation`
                raise
            log.info("client_disconnected")

    async def _receive_upload(self, client: "_Client", address: str) -> None:
        try:
            async with asyncio.timeout(0):  # receives what has arrived, and does not wait for more
                await client.receive_body()
        except TimeoutError:
            self._check_limits(address)
            with self._uploads.hold(address):
                await client.receive_body()

    def _check_limits(self, address: str) -> None:
        reached = self._uploads.find_reached_limit(address)
        if reached is None:
            return
        metrics.record_shed("upload")
        retry_after_s = random.randint(1, MAX_RETRY_AFTER_S)  # noqa: S311 - spreads retries
        if reached == "address":
            raise TooManyRequestsError(
                "Too many requests of this client address have incomplete bodies", retry_after_s=retry_after_s
            )
        raise OverloadedError("Too many requests have incomplete bodies", retry_after_s=retry_after_s)


class _Client:
    """The connection of one request. The application receives the body in one message, then only the disconnect."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._body = bytearray()
        self._body_is_unread = True
        self._response_is_complete = False
        self._gone = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.cancellation = asyncio.timeout(None)

    @property
    def is_gone(self) -> bool:
        return self._gone.is_set()

    async def receive_body(self) -> None:
        """Receive the rest of the body. Raises ClientDisconnect."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._body += message.get("body", b"")
            more = message.get("more_body", False)

    def start_watch(self, *, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._create_watcher)

    def stop_watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _create_watcher(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Wait until the client disconnects. The server sends the same message once the response is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
        if not (self._response_is_complete or self.cancellation.expired()):
            self.cancellation.reschedule(0)

    async def receive(self) -> Message:
        if self._body_is_unread:
            self._body_is_unread = False
            return {"type": "http.request", "body": bytes(self._body), "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        is_body = message["type"] == "http.response.body"
        self._response_is_complete = is_body and not message.get("more_body", False)
        await self._send(message)
