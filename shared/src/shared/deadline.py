"""One deadline per request, known to every hop: nobody works for a caller who has stopped waiting.

`X-Request-Timeout-Ms` says how many milliseconds the caller still waits at the moment of sending. A duration and not a
time of day, because the clocks of two machines differ; each hop passes on what it has not used itself. The way down:
gateway → `Deadline` here → `shared.http` for calls, `shared.database` for statements.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar, Token

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import DeadlineSpent
from shared.headers import header

REQUEST_TIMEOUT = "X-Request-Timeout-Ms"
_REQUEST_TIMEOUT = REQUEST_TIMEOUT.lower().encode()
LONGEST_S = 60.0
"""Whatever a caller asks for, nobody works longer for it."""

GRACE_S = 0.1
"""What a statement has to end by itself, at the deadline: cancelled from here it would cost its connection."""

RESPONSE_S = 0.25
"""Time that a wait in a queue leaves until the deadline, so that the caller receives the queue's own error."""

_MAX_DIGITS = 9
_ends_at: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining_s() -> float | None:
    """Seconds until the deadline of what is being done here, below zero once it is over; None where there is none.

    Tasks inherit it from who creates them: what outlives its request must not be created within it.
    """
    ends_at = _ends_at.get()
    return None if ends_at is None else ends_at - time.monotonic()


def at_most(seconds: float) -> float:
    """So many seconds, or what is left of them until the deadline; raises DeadlineSpent where nothing is."""
    left = remaining_s()
    if left is None:
        return seconds
    if left <= 0:
        raise DeadlineSpent
    return min(seconds, left)


def limit_wait(seconds: float) -> float:
    """Return how many seconds to wait in a queue: `seconds`, or less if the deadline comes first; 0 is no wait."""
    left = remaining_s()
    return seconds if left is None else max(min(seconds, left - RESPONSE_S), 0.0)


def as_header(seconds: float) -> str:
    """How `X-Request-Timeout-Ms` says so many seconds."""
    return str(max(int(seconds * 1000), 1))


def deadline_in(seconds: float) -> "_DeadlineIn":
    """Let what is done in this context end within so many seconds: earlier than the deadline there is, never later."""
    return _DeadlineIn(seconds)


class _DeadlineIn:
    """By hand: each call of the gateway goes through it, and a generator would take three times as long."""

    __slots__ = ("_seconds", "_token")
    _token: Token[float | None]

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        ends_at = time.monotonic() + self._seconds
        before = _ends_at.get()
        self._token = _ends_at.set(ends_at if before is None or ends_at < before else before)

    def __exit__(self, *_: object) -> None:
        _ends_at.reset(self._token)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """`deadline_in`, and the block is cancelled when it is over: raises TimeoutError."""
    with deadline_in(seconds):
        async with asyncio.timeout(remaining_s()):
            yield


class Deadline:
    """ASGI middleware: a request ends when its caller stops waiting, with a 504 problem and a transaction undone.

    The deadline is for the beginning of the answer: one that has begun may take its time. What is no number of
    milliseconds is not heeded, as no caller of ours sends it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; raises DeadlineSpent."""
        given_s = _given_s(scope) if scope["type"] == "http" else None
        if given_s is None:
            await self._app(scope, receive, send)
            return
        if given_s == 0:
            raise DeadlineSpent
        with deadline_in(given_s):
            await self._serve(scope, receive, send, seconds=given_s + GRACE_S)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, seconds: float) -> None:
        async def note_start(message: Message) -> None:
            if message["type"] == "http.response.start" and not patience.expired():
                patience.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(seconds) as patience:
                await self._app(scope, receive, note_start)
        except TimeoutError:
            if patience.expired():
                raise DeadlineSpent from None
            raise


def _given_s(scope: Scope) -> float | None:
    given = header(scope, _REQUEST_TIMEOUT) or ""
    if not (given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS):
        return None
    return min(int(given) / 1000, LONGEST_S)
