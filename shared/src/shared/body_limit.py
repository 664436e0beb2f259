"""Bounds the bytes and the time of request bodies before anything reads them.

Too large is 413, by Content-Length or by counting. Too late is 408. Both are problems. Starlette's own limiter responds
in plain text from outside the error handlers.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.deadline import remaining_s
from shared.errors import PayloadTooLarge, Problem, RequestTimeout, problem_response
from shared.headers import header

BODY_SECONDS = 10.0
"""Time in which a body arrives, from when the application waits for it."""

_OF_DEADLINE = 0.9
"""Share of a request's deadline in which its body arrives. If it does not, the client is late, not the service."""


class BodyLimit:
    """ASGI middleware: at most `max_bytes` of request body, within BODY_SECONDS and nine tenths of the deadline."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a declared excess at once, an undeclared one when it arrives, and a body that does not arrive."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = header(scope, b"content-length") or ""
        if declared.isdecimal() and int(declared) > self._max_bytes:
            await problem_response(_too_large(self._max_bytes), instance=scope["path"])(scope, receive, send)
            return
        if not declared and header(scope, b"transfer-encoding") is None:  # no body
            await self._app(scope, receive, send)
            return
        body = _Body(receive, max_bytes=self._max_bytes)
        started = False

        async def hold(message: Message) -> None:
            """Pass the response on, unless it is the framework's own response to the exception raised by `body`."""
            nonlocal started
            if body.problem is not None and not started:
                return
            started = True
            await send(message)

        try:
            await self._app(scope, body.receive, hold)
        except (PayloadTooLarge, RequestTimeout):
            if started:
                raise
        if body.problem is not None and not started:
            await problem_response(body.problem, instance=scope["path"])(scope, receive, send)


class _Body:
    """One request's body; `problem` is what was wrong with it."""

    def __init__(self, receive: Receive, *, max_bytes: int) -> None:
        self.problem: Problem | None = None
        self._receive = receive
        self._max_bytes = max_bytes
        self._received = 0
        self._complete = False
        self._late_at: float | None = None

    async def receive(self) -> Message:
        """Return the next message; raises PayloadTooLarge and RequestTimeout."""
        if self._complete:
            return await self._receive()
        if self._late_at is None:
            remaining = remaining_s()
            seconds = BODY_SECONDS if remaining is None else min(BODY_SECONDS, remaining * _OF_DEADLINE)
            self._late_at = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(self._late_at) as timeout:
                message = await self._receive()
        except TimeoutError:
            if not timeout.expired():
                raise
            self.problem = RequestTimeout("The body did not arrive in time")
            raise self.problem from None
        self._complete = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._max_bytes:
            self.problem = _too_large(self._max_bytes)
            raise self.problem
        return message


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body may have at most {max_bytes} bytes")
