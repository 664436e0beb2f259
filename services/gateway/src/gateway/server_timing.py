"""`Server-Timing` (W3C): the duration of each upstream call of a request, and of the request until its response.

::

    Server-Timing: orders;dur=3.1, users;dur=5.0;desc="2 attempts", total;dur=5.6
"""

import time
from collections.abc import Awaitable
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.web.headers import add_headers

MAX_CALLS = 20
"""Maximum number of calls that one header lists. A lookup of users can make 100 calls."""

_Call = tuple[str, float, int]
"""The service, the duration in seconds and the number of attempts."""

_calls: ContextVar[list[_Call] | None] = ContextVar("upstream_calls", default=None)


def record_call(upstream: str, seconds: float, *, attempts: int) -> None:
    """Add a call to the `Server-Timing` of the current request. `upstream` is a token (RFC 9110 §5.6.2)."""
    calls = _calls.get()
    if calls is not None:
        calls.append((upstream, seconds, attempts))


class ServerTimingMiddleware:
    """ASGI middleware that adds `Server-Timing` to responses for which a service was called.

    Its functions return the awaitable of the next function instead of awaiting it, so that they create no coroutine for
    each message of a request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        started = time.perf_counter()
        calls: list[_Call] = []
        _calls.set(calls)

        def send_with_timing(message: Message) -> Awaitable[None]:
            if calls and message["type"] == "http.response.start":
                add_headers(message, [(b"server-timing", _render(calls, time.perf_counter() - started))])
            return send(message)

        return self._app(scope, receive, send_with_timing)


def _render(calls: list[_Call], total_s: float) -> bytes:
    entries = [
        f'{upstream};dur={seconds * 1000:.1f};desc="{attempts} attempts"'
        if attempts > 1
        else f"{upstream};dur={seconds * 1000:.1f}"
        for upstream, seconds, attempts in calls[:MAX_CALLS]
    ]
    return f"{', '.join(entries)}, total;dur={total_s * 1000:.1f}".encode()
