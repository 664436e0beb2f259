"""An application on a real server that uses the protocol classes, and helpers that exchange raw bytes with it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.frames import Frame, Opcode

from shared.config import LogFormat
from shared.logging.setup import configure_logging
from shared.server.protocols.http import BoundedHttpProtocol
from shared.server.protocols.problems import ProblemHttpProtocol
from shared.server.protocols.websocket import BoundedWebSocketProtocol
from testkit.apps import serve
from testkit.connections import close_connection
from testkit.waiting import TIMEOUT_S

HEAD = b"GET /echo HTTP/1.1\r\nHost: shop.example\r\n"
"""A head without the empty line that ends it."""

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The complete head of a request, before the chunks of its body."""

GATE = b"GET /gate HTTP/1.1\r\nHost: shop.example\r\n\r\n"
"""A complete request. Its response waits for `ProtocolServer.gate`."""

LARGE = b"x" * 32 * 1024 * 1024
"""The body of a response that is larger than the buffers of both sockets."""

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
"""The head of a WebSocket handshake without the empty line that ends it."""


class ShortTimeouts(ProblemHttpProtocol):
    """The protocol class with timeouts of less than a second."""

    head_seconds = 0.2
    request_seconds = 0.3
    probe_seconds = 0.05


class ProtocolServer:
    """An application with the state that tests read, and connections to the server that runs it.

    `requests` counts the calls of the handlers that record them. `websocket_ends` are the close codes that the
    application received, and `protocols` the WebSocket connections.
    """

    def __init__(self) -> None:
        self.url = ""
        self.gate = asyncio.Event()
        self.requests = 0
        self.disconnects = 0
        self.websocket_ends: list[int] = []
        self.protocols: list[BoundedWebSocketProtocol] = []
        server = self

        class RecordedWebSocketProtocol(BoundedWebSocketProtocol):
            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                server.protocols.append(self)

        self.websocket_class = RecordedWebSocketProtocol
        self.app = Starlette(
            routes=[
                Route("/echo", self.echo, methods=["GET", "POST"]),
                Route("/respond_early", self.respond_early, methods=["POST"]),
                Route("/gate", self.wait),
                Route("/stalled", self.stall),
                Route("/large", self.respond_large),
                Route("/pieces", self.respond_in_pieces),
                WebSocketRoute("/ws", self.echo_texts),
                WebSocketRoute("/late", self.accept_late),
            ]
        )

    async def echo(self, request: Request) -> Response:
        self.requests += 1
        body = await request.body()
        names = sorted(key for key, _ in request.headers.items())
        return JSONResponse({"headers": names, "body": body.decode()})

    async def respond_early(self, _request: Request) -> Response:
        """Respond before the body has arrived."""
        return Response(status_code=204)

    async def wait(self, request: Request) -> Response:
        """Respond when the gate opens, or count a disconnect of the client."""
        self.requests += 1
        disconnected = asyncio.create_task(self._until_disconnect(request))
        opened = asyncio.create_task(self.gate.wait())
        await asyncio.wait([disconnected, opened], return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        disconnected.cancel()
        return JSONResponse("opened")

    async def stall(self, request: Request) -> Response:
        """Begin a response and wait until the client disconnects."""

        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await self._until_disconnect(request)

        return StreamingResponse(chunks())

    async def respond_large(self, _request: Request) -> Response:
        """Respond with LARGE in one chunk."""
        return Response(LARGE)

    async def respond_in_pieces(self, _request: Request) -> Response:
        """Respond with LARGE in small chunks."""
        chunk_bytes = 64 * 1024
        return StreamingResponse(LARGE[start : start + chunk_bytes] for start in range(0, len(LARGE), chunk_bytes))

    async def _until_disconnect(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.disconnects += 1

    async def echo_texts(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect as end:
            self.websocket_ends.append(end.code)

    async def accept_late(self, websocket: WebSocket) -> None:
        """Accept when the gate opens."""
        self.requests += 1
        await self.gate.wait()
        await self.echo_texts(websocket)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(self.url)
        return await asyncio.open_connection(address.hostname, address.port)

    async def exchange(self, data: bytes) -> bytes:
        """Send the bytes, and return all received bytes when the server has closed the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), TIMEOUT_S)
        finally:
            await close_connection(writer)


@asynccontextmanager
async def run_server(
    http: type[BoundedHttpProtocol] = ProblemHttpProtocol, **settings: Any
) -> AsyncIterator[ProtocolServer]:
    """Run the server with the HTTP protocol class `http` and these settings of uvicorn."""
    configure_logging(service="hello", log_format=LogFormat.JSON)
    server = ProtocolServer()
    options: dict[str, Any] = {
        "http": http,
        "ws": server.websocket_class,
        "ws_per_message_deflate": False,
        "ws_ping_interval": None,
    }
    async with serve(server.app, **options | settings) as url:
        server.url = url
        yield server


def find_events(output: str, name: str) -> list[dict[str, Any]]:
    """Return the log records of this event."""
    return [json.loads(line) for line in output.splitlines() if f'"{name}"' in line]


def parse_problem(response: bytes) -> dict[str, Any]:
    """Return the problem in a response. It must have the ids of every response and close the connection."""
    head, _, body = response.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    headers = {name.decode().lower(): value.decode() for name, _, value in lines}
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    parsed: dict[str, Any] = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % parsed["status"])
    assert headers["traceresponse"].split("-")[1] == parsed["trace_id"]
    assert headers["x-request-id"]
    return parsed


def encode_frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it: masked."""
    return Frame(opcode, data, fin).serialize(mask=True)


def encode_server_frame(opcode: Opcode, data: bytes = b"") -> bytes:
    """Return a frame as the server sends it: not masked."""
    return Frame(opcode, data).serialize(mask=False)


@asynccontextmanager
async def open_websocket(server: ProtocolServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect and complete the handshake."""
    reader, writer = await server.connect()
    try:
        writer.write(UPGRADE + b"\r\n")
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
    finally:
        await close_connection(writer)
