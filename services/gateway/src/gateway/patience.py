"""How long a request may take: until its deadline, or until nobody waits for the answer any more."""

import asyncio

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.versions import is_api_request
from shared.deadline import deadline_in, remaining_s
from shared.errors import DeadlineSpent

log = structlog.get_logger(__name__)

UNWATCHED_S = 0.02
"""Nobody looks for the client's leaving sooner: most requests are answered by then, and a task for each costs 20 µs."""


class Patience:
    """ASGI middleware: cancels what a request waits for when its time is over or its client has hung up.

    The server itself cancels nothing; it only says `http.disconnect` to who asks. Cancelled calls close their
    connections, so that the services behind can stop as well. Every call made within the `deadline_s` seconds is told
    what is left of them; where less was left before (`shared.deadline`, `gateway.limits`), that counts. They are for
    the beginning of the answer: one that has begun may take its time. Takes the body, which `gateway.uploads` has
    received, before the application.
    """

    def __init__(self, app: ASGIApp, *, deadline_s: float) -> None:
        self._app = app
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API; raises DeadlineSpent, and returns without a response if the client has gone."""
        if not is_api_request(scope):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        try:
            with deadline_in(self._deadline_s):
                async with asyncio.timeout(remaining_s()) as exchange.patience:
                    await exchange.read_body()
                    with exchange:
                        await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            log.info("client_hung_up")
        except TimeoutError:
            if not exchange.client_gone:
                raise DeadlineSpent(f"There was no answer within {self._deadline_s:g} s") from None
            log.info("client_hung_up")


class _Exchange:
    """One request and its answer, as the server gave them to us and as we give them to the application.

    As a context, with an eye on the client.
    """

    patience: asyncio.Timeout
    _watch: asyncio.TimerHandle

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._unread: bytes | None = None
        self._complete = False
        self._gone = asyncio.Event()
        self._attention: asyncio.Task[None] | None = None

    @property
    def client_gone(self) -> bool:
        return self._gone.is_set()

    async def read_body(self) -> None:
        parts = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        self._unread = b"".join(parts)

    def __enter__(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(UNWATCHED_S, self._begin_watching)

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()
        if self._attention is not None:
            self._attention.cancel()

    def _begin_watching(self) -> None:
        self._attention = asyncio.create_task(self._watch_client())

    async def _watch_client(self) -> None:
        """Wait for the server's word that the client is gone; it says the same once the answer is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
        if not (self._complete or self.patience.expired()):
            self.patience.reschedule(0)

    async def receive(self) -> Message:
        """The body at once; after that only the client's leaving."""
        if self._unread is None:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        body, self._unread = self._unread, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.patience.expired():
            self.patience.reschedule(None)
        self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)
