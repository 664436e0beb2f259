"""Bounds request bodies before anything reads them: 413 as a problem, by Content-Length or by counting.

Starlette's own limiter answers in plain text from outside the error handlers; this one is caught by them.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import PayloadTooLarge, problem_response
from shared.headers import header


class BodyLimit:
    """ASGI middleware: at most `max_bytes` of request body."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a declared excess at once and an undeclared one when it arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = header(scope, b"content-length") or ""
        if declared.isdecimal() and int(declared) > self._max_bytes:
            await problem_response(self._refusal(), instance=scope["path"])(scope, receive, send)
            return
        received = 0
        exceeded = False
        started = False

        async def count() -> Message:
            nonlocal received, exceeded
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                exceeded = True
                raise self._refusal()
            return message

        async def hold(message: Message) -> None:
            """Pass the response on, unless it is the framework's own account of the exception raised above."""
            nonlocal started
            if exceeded and not started:
                return
            started = True
            await send(message)

        try:
            await self._app(scope, count, hold)
        except PayloadTooLarge:
            if started:
                raise
        if exceeded and not started:
            await problem_response(self._refusal(), instance=scope["path"])(scope, receive, send)

    def _refusal(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body may have at most {self._max_bytes} bytes")
