"""Fakes: a service with configured responses, a server that does not respond, and a clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from testkit.apps import free_port, serve

JSON = "application/json"
PROBLEM = "application/problem+json"
JWKS_PATH = "/.well-known/jwks.json"


@dataclass(frozen=True, kw_only=True)
class ReceivedRequest:
    """One request as it arrived. `path` is still percent-encoded."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes


@dataclass(kw_only=True)
class Exchange:
    """The request and the ASGI callables that a behaviour uses to respond."""

    request: ReceivedRequest
    receive: Receive
    send: Send


Behaviour = Callable[[Exchange], Awaitable[None]]


@dataclass(kw_only=True)
class FakeService:
    """An ASGI application that sends configured responses and records the requests that it receives.

    Requests without a configured response get a 404 problem. `url` is the base URL once the application is served.
    `requests` excludes requests for the keys of access tokens, which the gateway may fetch at any time. `disconnected`
    has the paths of the requests whose connection the gateway closed before the response was complete.
    """

    name: str
    url: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    disconnected: list[str] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0
    _behaviours: dict[str, Behaviour] = field(default_factory=dict)

    def respond(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = JSON,
        until: asyncio.Event | None = None,
    ) -> None:
        """Configure a response, sent after `until` is set. A `body` that is not bytes is encoded as JSON."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)

        async def behave(exchange: Exchange) -> None:
            if until is not None:
                await until.wait()
            await _respond(exchange.send, status, {"content-type": media_type, **(headers or {})}, content)

        self._behaviours[f"{method} {path}"] = behave

    def respond_problem(
        self,
        method: str,
        path: str,
        *,
        status: int,
        slug: str,
        headers: Mapping[str, str] | None = None,
        until: asyncio.Event | None = None,
    ) -> None:
        """Configure a problem as the response, in the form of `shared.errors.problems`."""
        problem = {"type": f"https://hopline.example/problems/{slug}", "title": slug, "status": status, "detail": slug}
        self.respond(
            method,
            path,
            {**problem, "instance": path, "trace_id": None},
            status=status,
            headers=headers,
            media_type=PROBLEM,
            until=until,
        )

    def fail_first(self, method: str, path: str, *, times: int, headers: Mapping[str, str] | None = None) -> None:
        """Respond 503 `times` times, then send the response that was configured before."""
        configured = self._behaviours[f"{method} {path}"]
        self.respond_problem(method, path, status=503, slug="unavailable", headers=headers)
        self._switch_behaviour(method, path, after=times, to=configured)

    def hang_first(self, method: str, path: str) -> None:
        """Leave the first request without a response. The others get the response that was configured before."""
        configured = self._behaviours[f"{method} {path}"]
        self.hang(method, path)
        self._switch_behaviour(method, path, after=1, to=configured)

    def _switch_behaviour(self, method: str, path: str, *, after: int, to: Behaviour) -> None:
        """Keep the current behaviour for `after` requests, then use `to`."""
        current = self._behaviours[f"{method} {path}"]
        received = 0

        async def behave(exchange: Exchange) -> None:
            nonlocal received
            received += 1
            await (current if received <= after else to)(exchange)

        self._behaviours[f"{method} {path}"] = behave

    def hang(self, method: str, path: str) -> None:
        """Send no response. `disconnected` gets the path when the gateway closes the connection."""

        async def behave(exchange: Exchange) -> None:
            await _wait_for_disconnect(exchange)
            self.disconnected.append(exchange.request.path)

        self._behaviours[f"{method} {path}"] = behave

    def break_off(self, method: str, path: str) -> None:
        """Begin a response and end it before its body is complete."""

        async def behave(exchange: Exchange) -> None:
            await exchange.send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]}
            )
            await exchange.send({"type": "http.response.body", "body": b'{"half":', "more_body": True})

        self._behaviours[f"{method} {path}"] = behave

    def stream_csv(self, method: str, path: str, first: bytes, rest: bytes, *, between: asyncio.Event) -> None:
        """Send a CSV in two pieces, the second one after `between` is set.

        `disconnected` gets the path if the gateway closes the connection before `between` is set.
        """

        async def behave(exchange: Exchange) -> None:
            length = str(len(first) + len(rest)).encode()
            headers = [(b"content-type", b"text/csv"), (b"content-length", length)]
            await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
            await exchange.send({"type": "http.response.body", "body": first, "more_body": True})
            released = asyncio.ensure_future(between.wait())
            disconnected = asyncio.ensure_future(_wait_for_disconnect(exchange))
            done, pending = await asyncio.wait([released, disconnected], return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if disconnected in done:
                self.disconnected.append(exchange.request.path)
                return
            await exchange.send({"type": "http.response.body", "body": rest})

        self._behaviours[f"{method} {path}"] = behave

    def send_slowly(self, method: str, path: str) -> None:
        """Send one byte at a time, until the gateway closes the connection."""

        async def behave(exchange: Exchange) -> None:
            disconnected = asyncio.ensure_future(_wait_for_disconnect(exchange))
            headers = [(b"content-type", JSON.encode())]
            await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
            while not disconnected.done():
                await exchange.send({"type": "http.response.body", "body": b" ", "more_body": True})
                await asyncio.wait([disconnected], timeout=0.02)

        self._behaviours[f"{method} {path}"] = behave

    def stream_chunks(self, method: str, path: str, *, chunks: int, chunk: bytes) -> list[int]:
        """Send `chunks` times `chunk`, as fast as the gateway reads. Return the list of the numbers of sent chunks.

        The list grows while the chunks are sent.
        """
        sent: list[int] = []

        async def behave(exchange: Exchange) -> None:
            await exchange.send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]}
            )
            for number in range(chunks):
                await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
                sent.append(number)
            await exchange.send({"type": "http.response.body", "body": b""})

        self._behaviours[f"{method} {path}"] = behave
        return sent

    def requests_for(self, method: str, path: str) -> list[ReceivedRequest]:
        """Return the received requests for one method and path."""
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
            return
        request = await _read(scope, receive)
        if request.path != JWKS_PATH:
            self.requests.append(request)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        behave = self._behaviours.get(f"{request.method} {unquote(request.path)}", _not_found)
        try:
            await behave(Exchange(request=request, receive=receive, send=send))
        finally:
            self.in_flight -= 1


async def _not_found(exchange: Exchange) -> None:
    problem: dict[str, Any] = {"title": "No such resource", "status": 404, "instance": exchange.request.path}
    await _respond(exchange.send, 404, {"content-type": PROBLEM}, orjson.dumps(problem))


async def _respond(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _read(scope: Scope, receive: Receive) -> ReceivedRequest:
    body = b""
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return ReceivedRequest(
        method=scope["method"],
        path=scope["raw_path"].decode(),
        query=scope["query_string"].decode(),
        headers=Headers(scope=scope),
        body=body,
    )


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def _wait_for_disconnect(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def serve_fake(name: str) -> AsyncIterator[FakeService]:
    """Serve a fake service."""
    fake = FakeService(name=name)
    async with serve(fake) as fake.url:
        yield fake


def unreachable_url(scheme: str = "http") -> str:
    """Return a URL at which connections are rejected, because no server listens."""
    return f"{scheme}://127.0.0.1:{free_port()}"


@dataclass(frozen=True, kw_only=True)
class HangingServer:
    """A TCP server that accepts connections and sends nothing. `stop` closes it and its connections."""

    address: str
    connections: list[asyncio.StreamWriter]
    stop: Callable[[], None]


@asynccontextmanager
async def hanging_server() -> AsyncIterator[HangingServer]:
    """Start a server that sends nothing, and stop it afterwards if the test has not stopped it."""
    connections: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)

    def stop() -> None:
        server.close()
        for connection in connections:
            connection.close()

    host, port = server.sockets[0].getsockname()
    try:
        yield HangingServer(address=f"{host}:{port}", connections=connections, stop=stop)
    finally:
        stop()


class FakeClock:
    """A monotonic clock in seconds, which only the test advances."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now
