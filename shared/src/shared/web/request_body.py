"""Limits on request bodies, applied before anything reads them.

Starlette's own limit responds in plain text, from outside the error handlers.
"""

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.context import remaining_s
from shared.errors.problems import (
    PayloadTooLargeError,
    ProblemError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
    problem_response,
)
from shared.web.headers import get_header

BODY_SECONDS = 10.0
"""Maximum time in which a body arrives, from the first read of the application."""

_SHARE_OF_DEADLINE = 0.9
"""Share of a request's deadline in which its body must arrive, so that a slow client gets 408 instead of 504."""


class RequestBodyMiddleware:
    """ASGI middleware that rejects request bodies that are encoded, too large or late.

    - 415 for a body with a `Content-Encoding` other than `identity` (RFC 9110 §15.5.16): no service decodes bodies, and
      a small one could decode to any size;
    - 413 for more than `max_bytes`, by `Content-Length` or by counting;
    - 408 for a body that takes longer than `timeout_s` seconds, or than nine tenths of the time until the deadline.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float = BODY_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        coding, declared = get_header(scope, b"content-encoding"), get_header(scope, b"content-length") or ""
        if coding is not None and _is_encoded(scope):
            problem = UnsupportedMediaTypeError(
                "Send the body without a Content-Encoding", headers={"Accept-Encoding": "identity"}
            )
            await problem_response(problem, instance=scope["path"])(scope, receive, send)
            return
        if declared.isdecimal() and int(declared) > self._max_bytes:
            await problem_response(_too_large_error(self._max_bytes), instance=scope["path"])(scope, receive, send)
            return
        if not declared and get_header(scope, b"transfer-encoding") is None:  # no body
            await self._app(scope, receive, send)
            return
        body = _Body(wrapped=receive, max_bytes=self._max_bytes, timeout_s=self._timeout_s)
        started = False

        async def send_unless_rejected(message: Message) -> None:
            """Forward the response, unless the framework created it for an exception that `body` raised."""
            nonlocal started
            if body.problem is not None and not started:
                return
            started = True
            await send(message)

        try:
            await self._app(scope, body.receive, send_unless_rejected)
        except (PayloadTooLargeError, RequestTimeoutError):
            if started:
                raise
        if body.problem is not None and not started:
            await problem_response(body.problem, instance=scope["path"])(scope, receive, send)


@dataclass(kw_only=True, slots=True)
class _Body:
    """The body of one request; `problem` is the reason to reject it."""

    wrapped: Receive
    max_bytes: int
    timeout_s: float
    problem: ProblemError | None = None
    received_bytes: int = 0
    complete: bool = False
    late_at: float | None = None

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            PayloadTooLargeError: More than `max_bytes` arrived.
            RequestTimeoutError: The body did not arrive in time.
        """
        if self.complete:
            return await self.wrapped()
        if self.late_at is None:
            remaining = remaining_s()
            seconds = self.timeout_s if remaining is None else min(self.timeout_s, remaining * _SHARE_OF_DEADLINE)
            self.late_at = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(self.late_at) as timeout:
                message = await self.wrapped()
        except TimeoutError:
            if not timeout.expired():
                raise
            self.problem = RequestTimeoutError("The body did not arrive in time")
            raise self.problem from None
        self.complete = not message.get("more_body", False)
        self.received_bytes += len(message.get("body", b""))
        if self.received_bytes > self.max_bytes:
            self.problem = _too_large_error(self.max_bytes)
            raise self.problem
        return message


def _is_encoded(scope: Scope) -> bool:
    codings = b",".join(value for name, value in scope["headers"] if name == b"content-encoding").lower().split(b",")
    return bool({coding.strip() for coding in codings} - {b"", b"identity"})


def _too_large_error(max_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The body may have at most {max_bytes} bytes")
