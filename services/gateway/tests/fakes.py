"""A fake service. It sends configured responses and records the requests that it receives."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

JSON = "application/json"
PROBLEM = "application/problem+json"
KEYS = "/.well-known/jwks.json"


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
    """An ASGI application to `serve`. Requests without a configured response get a 404 problem.

    `requests` excludes requests for the keys of access tokens, which the gateway may fetch at any time. `disconnected`
    has the paths of requests that the gateway cancelled.
    """

    name: str
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
        usual = self._behaviours[f"{method} {path}"]
        self.respond_problem(method, path, status=503, slug="unavailable", headers=headers)
        self._first_then(method, path, times=times, then=usual)

    def hang_first(self, method: str, path: str) -> None:
        """Leave the first request without a response. The others get the response that was configured before."""
        usual = self._behaviours[f"{method} {path}"]
        self.hang(method, path)
        self._first_then(method, path, times=1, then=usual)

    def _first_then(self, method: str, path: str, *, times: int, then: Behaviour) -> None:
        first = self._behaviours[f"{method} {path}"]
        left = times

        async def behave(exchange: Exchange) -> None:
            nonlocal left
            left -= 1
            await (first if left >= 0 else then)(exchange)

        self._behaviours[f"{method} {path}"] = behave

    def hang(self, method: str, path: str) -> None:
        """Send no response. `disconnected` gets the path when the gateway closes the connection."""

        async def behave(exchange: Exchange) -> None:
            while (await exchange.receive())["type"] != "http.disconnect":
                pass
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
        """Send a CSV in two pieces, the second after `between` is set.

        `disconnected` gets the path if the gateway closes the connection before.
        """

        async def behave(exchange: Exchange) -> None:
            length = str(len(first) + len(rest)).encode()
            headers = [(b"content-type", b"text/csv"), (b"content-length", length)]
            await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
            await exchange.send({"type": "http.response.body", "body": first, "more_body": True})
            waiting = [asyncio.ensure_future(between.wait()), asyncio.ensure_future(_wait_for_disconnect(exchange))]
            done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if waiting[1] in done:
                self.disconnected.append(exchange.request.path)
                return
            await exchange.send({"type": "http.response.body", "body": rest})

        self._behaviours[f"{method} {path}"] = behave

    def stream_chunks(self, method: str, path: str, *, chunks: int, chunk: bytes) -> list[int]:
        """Send many chunks as fast as they are read. Return the list of their numbers, which grows with each one."""
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
        if request.path != KEYS:
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
