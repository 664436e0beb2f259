"""The context of a request: its id, its deadline and its caller.

`shared.web.middleware.RequestContextMiddleware` creates the context when a request arrives. Calls to other services
carry the id and the remaining time (`shared.http.client`); statements end at the deadline (`shared.db.database`).

The header `X-Request-Timeout-Ms` contains the milliseconds that the caller still waits when it sends the request. It is
a duration because the clocks of two machines differ. Each hop forwards the remaining time.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field

from shared.errors.problems import DeadlineExceededError, UnauthorizedError
from shared.identity import Identity

REQUEST_ID = "X-Request-ID"
REQUEST_TIMEOUT = "X-Request-Timeout-Ms"
MAX_TIMEOUT_S = 60.0
"""Maximum of `X-Request-Timeout-Ms`, in seconds."""

GRACE_S = 0.1
"""Time after the deadline in which a statement can end by itself. If it is cancelled, its connection is closed."""

RESPONSE_MARGIN_S = 0.25
"""Time that a wait in a queue leaves until the deadline, so that the caller receives the queue's own error."""


@dataclass(slots=True)
class RequestContext:
    """The data of one request.

    `caller` is set after the verification of the access token: to the caller, or to the error if there is no valid
    token. `recorded` is the last unexpected exception that was recorded, so that none is recorded twice.
    """

    request_id: str | None = None
    caller: Identity | UnauthorizedError | None = None
    recorded: Exception | None = None


_context: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)
_deadline: ContextVar[float | None] = ContextVar("request_deadline", default=None)


def set_context(context: RequestContext, *, deadline: float | None = None) -> None:
    """Set the context of the current task and of the tasks that it creates afterwards.

    `deadline` is a time of `time.monotonic()`; None means no deadline.
    """
    _context.set(context)
    _deadline.set(deadline)


def get_context() -> RequestContext:
    """Return the context of the current request; a new, empty one outside of requests."""
    return _context.get() or RequestContext()


def remaining_s() -> float | None:
    """Return the seconds until the deadline, negative after it; None without a deadline.

    A task inherits the deadline. Create tasks that outlive the request outside of its context.
    """
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def limit_to_deadline(seconds: float) -> float:
    """Return `seconds`, or the time until the deadline if that is shorter.

    Raises:
        DeadlineExceededError: No time is left.
    """
    left = remaining_s()
    if left is None:
        return seconds
    if left <= 0:
        raise DeadlineExceededError
    return min(seconds, left)


def limit_wait(seconds: float) -> float:
    """Return how many seconds to wait in a queue: `seconds`, or less if the deadline is earlier; at least 0."""
    left = remaining_s()
    return seconds if left is None else max(min(seconds, left - RESPONSE_MARGIN_S), 0.0)


@dataclass(slots=True)
class Deadline:
    """Context manager that moves the deadline to `seconds` from now. An earlier deadline stays.

    A class, because a generator takes three times as long and each upstream call of the gateway enters one.
    """

    seconds: float
    _token: Token[float | None] = field(init=False, repr=False, compare=False)

    def __enter__(self) -> None:
        deadline, earlier = time.monotonic() + self.seconds, _deadline.get()
        self._token = _deadline.set(deadline if earlier is None else min(deadline, earlier))

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


@asynccontextmanager
async def enforce_deadline(seconds: float) -> AsyncIterator[None]:
    """Set the deadline like `Deadline`, and cancel the block at the deadline.

    Raises:
        TimeoutError: The block did not end in time.
    """
    with Deadline(seconds):
        async with asyncio.timeout(remaining_s()):
            yield
