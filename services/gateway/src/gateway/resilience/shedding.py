"""Load shedding: a gateway that has more to do than it can says so at once, to readers first.

Beyond some number of requests each one more makes all of them later, until none is in time. Reads go first: they can be
asked again, and an order that was almost placed is worth more than a page.
"""

import random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import Overloaded
from gateway.resilience import metrics
from gateway.versions import is_api_request

READS_SHARE = 0.8
LONGEST_RETRY_AFTER_S = 3

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Load:
    """How many requests this process is serving, of `at_once` at most."""

    def __init__(self, *, at_once: int) -> None:
        self._limit = {True: max(int(at_once * READS_SHARE), 1), False: at_once}
        self.in_flight = 0

    def bears(self, *, read: bool) -> bool:
        """Whether one more of these can be served."""
        return self.in_flight < self._limit[read]


class LoadShedding:
    """ASGI middleware: serves a request or raises Overloaded. Probes and pages are never shed.

    A request holds its slot until its response begins: a client that does not read must not hold one.
    """

    def __init__(self, app: ASGIApp, *, load: Load) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API; others pass through."""
        if not is_api_request(scope):
            await self._app(scope, receive, send)
            return
        read = scope["method"] in _READS
        if not self._load.bears(read=read):
            metrics.shed("read" if read else "write")
            wait_s = random.randint(1, LONGEST_RETRY_AFTER_S)  # noqa: S311 - spreads those who come back
            raise Overloaded("The gateway has more requests than it can serve", retry_after_s=wait_s)
        self._load.in_flight += 1
        held = True

        async def release_and_send(message: Message) -> None:
            nonlocal held
            if held:
                held = False
                self._load.in_flight -= 1
            await send(message)

        try:
            await self._app(scope, receive, release_and_send)
        finally:
            if held:
                self._load.in_flight -= 1
