"""Load shedding: an overloaded gateway rejects requests immediately, reads before writes.

Beyond a certain concurrency, each additional request slows all others, until every request misses its deadline. Reads
are rejected first: clients can repeat them, and a lost order costs more than a lost page.
"""

import random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import OverloadedError
from gateway.resilience import metrics
from gateway.versions import is_api_request

READ_FRACTION = 0.8
"""The part of the slots that reads may take. Only writes take the others."""

MAX_RETRY_AFTER_S = 3
"""`Retry-After` is a random number of seconds up to this one, so that rejected clients do not return together."""

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Load:
    """The number of concurrent requests of this process, their limits, and how many were shed since its start."""

    def __init__(self, *, max_concurrent: int) -> None:
        self.max_requests = max_concurrent
        self.max_reads = max(int(max_concurrent * READ_FRACTION), 1)
        self.in_flight = 0
        self.shed = 0


class LoadSheddingMiddleware:
    """ASGI middleware that rejects requests above the limits. Probes, the page and assets pass through.

    A request holds its slot until its response begins, because a client that does not read its response must not hold a
    slot.
    """

    def __init__(self, app: ASGIApp, *, load: Load) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API. Raises OverloadedError."""
        if not is_api_request(scope):
            await self._app(scope, receive, send)
            return
        load, is_read = self._load, scope["method"] in _READS
        if load.in_flight >= (load.max_reads if is_read else load.max_requests):
            load.shed += 1
            metrics.record_shed("read" if is_read else "write")
            retry_after_s = random.randint(1, MAX_RETRY_AFTER_S)  # noqa: S311 - spreads retries
            raise OverloadedError("The gateway has too many concurrent requests", retry_after_s=retry_after_s)
        load.in_flight += 1
        held = True

        async def release_and_send(message: Message) -> None:
            nonlocal held
            if held:
                held = False
                load.in_flight -= 1
            await send(message)

        try:
            await self._app(scope, receive, release_and_send)
        finally:
            if held:
                load.in_flight -= 1
