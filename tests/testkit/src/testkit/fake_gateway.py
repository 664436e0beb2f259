"""A gateway and a WebSocket server with scripted responses and frames, for tests of clients of the shop."""

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_sockets

Connection = Callable[[ServerConnection], Awaitable[None]]
"""What the server does on one WebSocket connection, after the client's hello."""


def problem(status: int, slug: str, **more: Any) -> Response:
    """Return an error response with these members, and `headers` if given."""
    headers = more.pop("headers", {})
    members = {"type": f"https://hopline.example/problems/{slug}", "title": slug.title(), "status": status, **more}
    return JSONResponse(members, status, headers, media_type="application/problem+json")


def tokens(number: int) -> dict[str, Any]:
    """Return the body of a login or a refresh."""
    pair = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}"}
    return {**pair, "token_type": "bearer", "expires_in": 900}


@dataclass(frozen=True)
class ReceivedRequest:
    """A request; `path` includes its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Gateway:
    """An ASGI application. It sends `responses`, one after another, then the results of `respond`."""

    responses: deque[Response] = field(default_factory=deque)
    requests: list[ReceivedRequest] = field(default_factory=list)
    respond: Callable[[ReceivedRequest], Awaitable[Response]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            assert scope["type"] == "lifespan"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        request = Request(scope, receive)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        received = ReceivedRequest(request.method, path, dict(request.headers), (await request.body()).decode())
        self.requests.append(received)
        if self.responses:
            response = self.responses.popleft()
        else:
            assert self.respond, f"no response for {received}"
            response = await self.respond(received)
        await response(scope, receive, send)


@dataclass
class Sockets:
    """A WebSocket server. Within `listening`, `gateway` returns tickets for it, and pages of `history`.

    Each connection runs the next of `scripts` after its hello. It stays open if no script is left.
    """

    gateway: Gateway
    url: str = ""
    scripts: deque[Connection] = field(default_factory=deque)
    hellos: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    tickets: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve on a free port within the block."""
        self.gateway.respond = self._respond
        async with serve_sockets(self._serve, "127.0.0.1", 0) as server:
            [listener] = server.sockets
            self.url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
            yield

    async def _serve(self, socket: ServerConnection) -> None:
        self.hellos.append(json.loads(await socket.recv()))
        if self.scripts:
            await self.scripts.popleft()(socket)
        else:
            await socket.wait_closed()

    async def _respond(self, request: ReceivedRequest) -> Response:
        if request.path == "/v2/ws-tickets":
            self.tickets += 1
            return JSONResponse({"ticket": f"ticket-{self.tickets}", "expires_in": 30, "url": self.url})
        path, _, query = request.path.partition("?")
        assert path == "/v2/notifications"
        after, limit = (int(part.partition("=")[2]) for part in query.split("&"))
        items = [item for item in self.history if item["seq"] > after][:limit]
        return JSONResponse({"head": len(self.history), "read_seq": 0, "items": items})
