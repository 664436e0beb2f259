"""Receiving request bodies before a request takes a slot of the gateway.

A slot of `gateway.resilience.shedding` is for work. A client that sends its body slowly, or stops in the middle, must
not hold one. Bodies are bounded in bytes by `shared.body_limit`, and unfinished ones in number here, so that all of
them together are bounded too.
"""

import asyncio
import random

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import Overloaded
from gateway.resilience import metrics
from gateway.resilience.shedding import LONGEST_RETRY_AFTER_S
from gateway.versions import is_api_request
from shared.client_address import AddressLimit, address_of
from shared.deadline import deadline_in, remaining_s
from shared.errors import DeadlineSpent, TooManyRequests

log = structlog.get_logger(__name__)


class ReceiveBody:
    """ASGI middleware that passes a request on once its whole body has arrived.

    A body that arrived together with the head does not count as an upload, so it is served while others are rejected.
    The deadline of a request with a body, `deadline_s` seconds, includes the time that its client takes to send it.
    """

    def __init__(self, app: ASGIApp, *, uploads: AddressLimit, deadline_s: float) -> None:
        self._app = app
        self._uploads = uploads
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API; others, and those without a body, pass through.

        Raises:
            DeadlineSpent: The body did not arrive in time.
            TooManyRequests: The client's address has as many unfinished uploads as one may have.
            Overloaded: The process has as many as it may have.
        """
        if not (is_api_request(scope) and _has_body(scope)):
            await self._app(scope, receive, send)
            return
        with deadline_in(self._deadline_s):
            try:
                body = await self._receive_all(scope, receive)
            except ClientDisconnect:
                log.info("client_hung_up")
                return
            await self._app(scope, _replay(body, receive), send)

    async def _receive_all(self, scope: Scope, receive: Receive) -> bytes:
        body = bytearray()
        if not await _receive_arrived(receive, body):
            address = address_of(scope)
            self._check_limits(address)
            with self._uploads.hold(address):
                try:
                    async with asyncio.timeout(remaining_s()):
                        while await _receive_part(receive, body):
                            pass
                except TimeoutError:
                    raise DeadlineSpent(f"The body did not arrive within {self._deadline_s:g} s") from None
        return bytes(body)

    def _check_limits(self, address: str) -> None:
        reached = self._uploads.reached(address)
        if reached is None:
            return
        metrics.shed("upload")
        retry_after_s = random.randint(1, LONGEST_RETRY_AFTER_S)  # noqa: S311 - spreads retries
        if reached == "address":
            raise TooManyRequests(
                "Too many requests of this address wait for their bodies", retry_after_s=retry_after_s
            )
        raise Overloaded("Too many requests wait for their bodies", retry_after_s=retry_after_s)


def _has_body(scope: Scope) -> bool:
    """Return whether a body is announced (RFC 9112 §6.3)."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


async def _receive_arrived(receive: Receive, body: bytearray) -> bool:
    """Append what has arrived, without waiting for more, and return whether it is the whole body."""
    try:
        async with asyncio.timeout(0):
            while await _receive_part(receive, body):
                pass
    except TimeoutError:
        return False
    return True


async def _receive_part(receive: Receive, body: bytearray) -> bool:
    """Append the next part and return whether more follows; raises ClientDisconnect."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    body += message.get("body", b"")
    more: bool = message.get("more_body", False)
    return more


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` first, and then what the server gives: that the client has gone."""
    unread = True

    async def receive_buffered() -> Message:
        nonlocal unread
        if not unread:
            return await receive()
        unread = False
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_buffered
