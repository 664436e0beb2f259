"""The protocol classes by raw bytes over sockets, and a canary for what they use of uvicorn's classes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websockets.asyncio.client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from shared.logging import configure_logging
from shared.server_protocols.http import MAX_HEAD_BYTES, MAX_PIPELINED, BoundedHttp
from shared.server_protocols.problems import ProblemHttp
from shared.server_protocols.websocket import KERNEL_BUFFER_BYTES, MAX_CONTROL_FRAMES_PER_SECOND, BoundedWebSocket
from shared.settings import LogFormat
from testkit.apps import serve
from testkit.gunicorn import answers, gunicorn
from testkit.waiting import PATIENCE_S, eventually

HEAD = b"GET /echo HTTP/1.1\r\nHost: shop.example\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
GATE = b"GET /gate HTTP/1.1\r\nHost: shop.example\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


class Quick(ProblemHttp):
    """The same with shorter times."""

    head_seconds = 0.2
    request_seconds = 0.3
    probe_seconds = 0.05


class Served:
    """An application on a real server, and connections to it."""

    def __init__(self) -> None:
        self.url = ""
        self.gate = asyncio.Event()
        self.asked = 0
        self.disconnects = 0
        self.websocket_ends: list[int] = []
        self.protocols: list[BoundedWebSocket] = []
        served = self

        class Recorded(BoundedWebSocket):
            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                served.protocols.append(self)

        self.websocket_class = Recorded
        self.app = Starlette(
            routes=[
                Route("/echo", self.echo, methods=["GET", "POST"]),
                Route("/early", self.early, methods=["POST"]),
                Route("/gate", self.wait),
                Route("/stalled", self.stall),
                WebSocketRoute("/ws", self.websocket),
                WebSocketRoute("/late", self.accept_late),
            ]
        )

    async def echo(self, request: Request) -> Response:
        self.asked += 1
        body = await request.body()
        names = sorted(key for key, _ in request.headers.items())
        return JSONResponse({"headers": names, "body": body.decode()})

    async def early(self, _request: Request) -> Response:
        """Respond before the body is there."""
        return Response(status_code=204)

    async def wait(self, request: Request) -> Response:
        """Respond when the gate opens, or note that the client left."""
        self.asked += 1
        disconnected = asyncio.create_task(self._until_disconnect(request))
        opened = asyncio.create_task(self.gate.wait())
        await asyncio.wait([disconnected, opened], return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        disconnected.cancel()
        return JSONResponse("opened")

    async def stall(self, request: Request) -> Response:
        """Begin a response and wait until the client leaves."""

        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await self._until_disconnect(request)

        return StreamingResponse(chunks())

    async def _until_disconnect(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.disconnects += 1

    async def websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect as end:
            self.websocket_ends.append(end.code)

    async def accept_late(self, websocket: WebSocket) -> None:
        """Accept when the gate opens."""
        self.asked += 1
        await self.gate.wait()
        await self.websocket(websocket)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(self.url)
        return await asyncio.open_connection(address.hostname, address.port)

    async def exchange(self, data: bytes) -> bytes:
        """Send the bytes and return what comes until the server closes."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), PATIENCE_S)
        finally:
            writer.close()


@asynccontextmanager
async def serving(http: type[BoundedHttp] = ProblemHttp, **settings: Any) -> AsyncIterator[Served]:
    configure_logging(service="hello", log_format=LogFormat.JSON)
    served = Served()
    options: dict[str, Any] = {
        "http": http,
        "ws": served.websocket_class,
        "ws_per_message_deflate": False,
        "ws_ping_interval": None,
    }
    async with serve(served.app, **options | settings) as url:
        served.url = url
        yield served


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture
async def quick_server() -> AsyncIterator[Served]:
    async with serving(Quick) as served:
        yield served


def events(output: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if f'"{name}"' in line]


def problem(response: bytes) -> dict[str, Any]:
    """Return the problem of a response that has the ids of every response, and closes the connection."""
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


class TestHead:
    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(b"GET /" + b"a" * 10_000_000, id="endless request line"),
            pytest.param(HEAD + b"X: " + b"a" * 10_000_000, id="endless header"),
            pytest.param(HEAD + b"X" * 10_000_000, id="endless header name"),
            pytest.param(HEAD + b"X: 1234567890\r\n" * 500_000, id="endless headers"),
            pytest.param(HEAD + b"a:\r\n" * 3_000, id="many small headers"),
            pytest.param(HEAD + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", id="complete"),
            pytest.param(
                b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="complete request line"
            ),
        ],
    )
    async def test_more_than_64_kib_is_431(
        self, server: Served, head: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rejected = problem(await server.exchange(head))
        assert rejected["type"].endswith("/head-too-large")
        assert rejected["status"] == 431
        output = capsys.readouterr().out
        [record] = events(output, "request_rejected")
        assert (record["level"], record["status"], record["trace_id"]) == ("info", 431, rejected["trace_id"])
        assert "warning" not in output
        assert server.asked == 0

    async def test_less_is_served(self, server: Served) -> None:
        head = HEAD + b"X: " + b"a" * (MAX_HEAD_BYTES - 1000) + b"\r\nConnection: close\r\n\r\n"
        assert b" 200 OK" in await server.exchange(head)

    async def test_one_not_complete_in_time_is_408(self, quick_server: Served) -> None:
        rejected = problem(await quick_server.exchange(HEAD))
        assert (rejected["status"], rejected["type"].rpartition("/")[2]) == (408, "request-timeout")
        assert rejected["instance"] == "/echo"

    async def test_bytes_that_trickle_do_not_extend_the_time(self, quick_server: Served) -> None:
        reader, writer = await quick_server.connect()
        writer.write(HEAD + b"X: ")
        response = asyncio.create_task(reader.read())
        while not response.done():
            writer.write(b"a")
            await asyncio.wait([response], timeout=0.02)
        assert problem(response.result())["status"] == 408
        writer.close()

    @pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"], ids=["nothing", "empty lines"])
    async def test_a_connection_without_a_request_is_closed(self, quick_server: Served, sent: bytes) -> None:
        assert await quick_server.exchange(sent) == b""

    async def test_an_idle_connection_is_closed(self) -> None:
        async with serving(timeout_keep_alive=0.2) as served:
            assert b" 200 OK" in await served.exchange(HEAD + b"\r\n")
            early = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"
            reader, writer = await served.connect()
            writer.write(early)
            assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"x")  # the body ends after the response
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
            writer.close()

    @pytest.mark.parametrize(
        "hosts",
        [
            b"",
            b"Host: a\r\nHost: a\r\n",
            b"Host: a b\r\n",
            b"Host: \r\n",
            b"Host: a/b\r\n",
            b"Host: a:b\r\n",
            b"Host: [::1\r\n",
        ],
    )
    async def test_without_one_valid_host_is_400(self, server: Served, hosts: bytes) -> None:
        rejected = problem(await server.exchange(b"GET /echo HTTP/1.1\r\n" + hosts + b"X-Request-ID: mine\r\n\r\n"))
        assert (rejected["status"], rejected["type"].rpartition("/")[2]) == (400, "bad-request")
        assert server.asked == 0

    @pytest.mark.parametrize("host", [b"a", b"a:80", b"a:", b"127.0.0.1:8000", b"[::1]:8000", b"xn--p1ai.example"])
    async def test_a_valid_host_is_served(self, server: Served, host: bytes) -> None:
        request = b"GET /echo HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        assert b" 200 OK" in await server.exchange(request)

    async def test_http_1_0_needs_no_host(self, server: Served) -> None:
        assert b" 200 OK" in await server.exchange(b"GET /echo HTTP/1.0\r\n\r\n")

    @pytest.mark.parametrize(
        "invalid",
        [
            b"GARBAGE\r\n\r\n",
            b"GET /a b HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02",
            HEAD + b"a b: c\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    )
    async def test_an_invalid_one_is_a_problem(
        self, server: Served, invalid: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rejected = problem(await server.exchange(invalid))
        assert (rejected["status"], rejected["type"].rpartition("/")[2]) == (400, "bad-request")
        assert len(events(capsys.readouterr().out, "request_rejected")) == 1

    async def test_a_request_id_of_the_client_is_kept(self, server: Served) -> None:
        response = await server.exchange(b"GET / HTTP/1.1\r\nX-Request-ID: order-42\r\n\r\n")
        assert b"\r\nx-request-id: order-42\r\n" in response

    async def test_an_upgrade_that_is_not_supported_is_the_last_request(self, server: Served) -> None:
        upgrade = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 99\r\n\r\n"
        response = await server.exchange(upgrade + HEAD + b"\r\n")
        assert response.count(b"HTTP/1.1 200") == 1
        assert b"\r\nconnection: close\r\n" in response
        assert server.asked == 1


class TestBody:
    async def test_trailers_are_no_headers(self, server: Served) -> None:
        trailers = b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\nIdempotency-Key: y\r\n\r\n"
        response = await server.exchange(CHUNKED + trailers + HEAD + b"Connection: close\r\n\r\n")
        first, second = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in response.split(b"HTTP/1.1 200 OK")[1:]]
        assert first == {"headers": ["host", "transfer-encoding"], "body": "x"}
        assert second == {"headers": ["connection", "host"], "body": ""}

    @pytest.mark.parametrize(
        "framing",
        [
            pytest.param(b"0\r\nX: " + b"a" * 1_000_000, id="endless trailer"),
            pytest.param(b"0\r\n" + b"X: y\r\n" * 200_000, id="endless trailers"),
            pytest.param(b"1;a=" + b"a" * 1_000_000, id="endless chunk extension"),
        ],
    )
    async def test_framing_of_more_than_64_kib_is_400(self, server: Served, framing: bytes) -> None:
        assert problem(await server.exchange(CHUNKED + framing))["status"] == 400

    async def test_invalid_framing_is_a_problem(self, server: Served) -> None:
        assert problem(await server.exchange(CHUNKED + b"not hexadecimal\r\n"))["status"] == 400

    async def test_one_not_complete_in_time_is_408(self, quick_server: Served) -> None:
        assert problem(await quick_server.exchange(CHUNKED + b"1\r\nx\r\n"))["status"] == 408

    async def test_one_that_trickles_after_the_response_ends_the_connection(self, quick_server: Served) -> None:
        reader, writer = await quick_server.connect()
        writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        end = asyncio.create_task(reader.read())
        while not end.done():
            writer.write(b"a")
            await asyncio.wait([end], timeout=0.02)
        assert end.result().startswith(b"HTTP/1.1 204 ")
        assert b"408" not in end.result()
        writer.close()


class TestPipelining:
    async def test_responses_come_in_order(self, server: Served) -> None:
        request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
        response = await server.exchange(
            b"".join(request % number for number in range(8)) + HEAD + b"Connection: close\r\n\r\n"
        )
        bodies = [json.loads(part.partition(b"\r\n\r\n")[2])["body"] for part in response.split(b"HTTP/1.1 200 OK")[1:]]
        assert bodies == [*"01234567", ""]

    async def test_requests_that_wait_are_bounded(self, server: Served) -> None:
        response = await server.exchange((HEAD + b"\r\n") * 1000)
        assert response.count(b"HTTP/1.1 200 OK") == MAX_PIPELINED + 1

    async def test_an_invalid_request_does_not_break_an_earlier_response(self, server: Served) -> None:
        asked = asyncio.create_task(server.exchange(GATE + b"GARBAGE\r\n\r\n"))
        await eventually(lambda: server.asked)
        server.gate.set()
        response = await asked
        assert response.startswith(b"HTTP/1.1 200 OK")
        assert response.endswith(b'"opened"')


class TestHalfClosedConnection:
    @pytest.mark.parametrize("version", [b"1.1", b"1.0"])
    async def test_gets_the_response(self, quick_server: Served, version: bytes) -> None:
        reader, writer = await quick_server.connect()
        writer.write(GATE.replace(b"1.1", version))
        writer.write_eof()
        await eventually(lambda: quick_server.asked)
        if version == b"1.1":  # a probe was sent, and the request goes on
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        quick_server.gate.set()
        response = (await reader.read()).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        assert response.startswith(b"HTTP/1.1 200 OK\r\n")
        assert response.endswith(b'"opened"')
        assert quick_server.disconnects == 0
        writer.close()

    async def test_of_a_client_that_left_is_a_disconnect(self, quick_server: Served) -> None:
        _, writer = await quick_server.connect()
        writer.write(GATE)
        await eventually(lambda: quick_server.asked)
        writer.close()
        await eventually(lambda: quick_server.disconnects)

    async def test_is_closed_if_the_response_has_begun(self, server: Served) -> None:
        reader, writer = await server.connect()
        writer.write(b"GET /stalled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await eventually(lambda: server.disconnects)
        writer.close()

    async def test_with_half_a_request_is_closed(self, server: Served) -> None:
        reader, writer = await server.connect()
        writer.write(CHUNKED + b"1\r\nx")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


@asynccontextmanager
async def upgraded(served: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await served.connect()
    writer.write(UPGRADE + b"\r\n")
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    yield reader, writer
    writer.close()


class TestWebSocket:
    async def test_a_ping_flood_is_closed_with_1008(self, server: Served, capsys: pytest.CaptureFixture[str]) -> None:
        async with upgraded(server) as (reader, writer):
            writer.write(frame(Opcode.PING, b"x" * 100) * 100_000)
            received = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert received.endswith(b"\x88\x19" + (1008).to_bytes(2) + b"too many control frames")
        assert received.count(b"\x8a") <= MAX_CONTROL_FRAMES_PER_SECOND
        await eventually(lambda: server.websocket_ends == [1008])
        [record] = events(capsys.readouterr().out, "websocket_failed")
        assert (record["level"], record["code"]) == ("info", 1008)

    @pytest.mark.parametrize(
        "flood",
        [
            pytest.param(frame(Opcode.PONG), id="pongs"),
            pytest.param(frame(Opcode.CONT, fin=False), id="empty fragments"),
        ],
    )
    async def test_other_floods_are_closed_too(self, server: Served, flood: bytes) -> None:
        begin = frame(Opcode.TEXT, b"x", fin=False)
        async with upgraded(server) as (reader, writer):
            writer.write(begin + flood * 10_000)
            received = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert (1008).to_bytes(2) in received

    async def test_only_the_latest_ping_gets_a_pong(self, server: Served) -> None:
        async with upgraded(server) as (reader, writer):
            writer.write(b"".join(frame(Opcode.PING, b"%d" % number) for number in range(10)))
            writer.write(frame(Opcode.CLOSE, (1000).to_bytes(2)))
            received = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert received.startswith(b"\x8a\x019")

    async def test_a_pong_waits_for_a_writable_transport_and_reading_pauses(self, server: Served) -> None:
        async with upgraded(server) as (reader, writer):
            [protocol] = server.protocols
            protocol.pause_writing()  # as the transport does when its buffer is full
            writer.write(frame(Opcode.PING, b"a"))
            await eventually(lambda: not protocol.transport.is_reading())
            writer.write(frame(Opcode.PING, b"b") + frame(Opcode.TEXT, b"hello"))
            protocol.resume_writing()
            assert await reader.readexactly(3 + 3 + 7) == b"\x8a\x01a" + b"\x8a\x01b" + b"\x81\x05hello"

    async def test_messages_are_parsed_as_the_application_takes_them(self, server: Served) -> None:
        async with upgraded(server) as (reader, writer):
            writer.write(b"".join(frame(Opcode.TEXT, b"%05d" % number) for number in range(20_000)))
            waiting = 0
            for number in range(20_000):
                assert await reader.readexactly(7) == b"\x81\x05%05d" % number
                waiting = max(waiting, server.protocols[0].queue.qsize())
        assert waiting < 1000

    async def test_frames_before_the_handshake_is_complete_wait(self, server: Served) -> None:
        reader, writer = await server.connect()
        writer.write(UPGRADE.replace(b"/ws", b"/late") + b"\r\n")
        await eventually(lambda: server.asked)
        writer.write(frame(Opcode.PING, b"a"))
        await eventually(lambda: not server.protocols[0].transport.is_reading())
        server.gate.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(3) == b"\x8a\x01a"
        writer.close()

    async def test_invalid_utf_8_is_closed_with_1007_and_recorded_without_a_stack(
        self, server: Served, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with upgraded(server) as (reader, writer):
            writer.write(frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"\x28"))
            received = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert received[2:4] == (1007).to_bytes(2)
        await eventually(lambda: server.websocket_ends == [1007])
        output = capsys.readouterr().out
        [record] = events(output, "websocket_failed")
        assert (record["level"], record["code"]) == ("info", 1007)
        assert "Traceback" not in output
        assert '"error"' not in output

    async def test_text_in_fragments_within_a_character_is_valid(self, server: Served) -> None:
        async with upgraded(server) as (reader, writer):
            writer.write(frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"\xbc"))
            assert await reader.readexactly(4) == b"\x81\x02\xc3\xbc"

    @pytest.mark.parametrize(
        ("handshake", "status"),
        [
            (UPGRADE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"short"), 400),
            (UPGRADE.replace(b"Version: 13", b"Version: 8"), 400),
            (UPGRADE.replace(b"GET", b"POST"), 400),
            (UPGRADE + b"X: " + b"a" * 10_000 + b"\r\n", 431),
            (UPGRADE + b"X: y\r\n" * 200, 431),
        ],
        ids=["key", "version", "method", "long line", "many headers"],
    )
    async def test_an_invalid_handshake_is_a_problem(self, server: Served, handshake: bytes, status: int) -> None:
        response = await server.exchange(handshake + b"\r\n")
        assert problem(response)["status"] == status
        assert b"\r\nsec-websocket-version: 13\r\n" in response

    async def test_a_close_frame_does_not_wait_for_a_peer_that_does_not_read(self) -> None:
        made: list[BoundedWebSocket] = []
        closed = asyncio.Event()

        class Recording(BoundedWebSocket):
            def __init__(self, *arguments: object, **named: object) -> None:
                super().__init__(*arguments, **named)
                made.append(self)

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            [protocol] = made
            buffer = protocol.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert buffer == 2 * KERNEL_BUFFER_BYTES
            protocol.pause_writing()  # as the transport does when its buffer is full
            assert not protocol.writable.is_set()
            await websocket.close(4008)
            assert protocol.close_timer is not None
            assert protocol.close_timer.when() - protocol.loop.time() > protocol.close_timeout
            closed.set()

        app = Starlette(routes=[WebSocketRoute("/", endpoint)])
        async with (
            serve(app, ws=Recording) as url,
            websockets.asyncio.client.connect(url.replace("http", "ws")) as client,
        ):
            await asyncio.wait_for(closed.wait(), 30)
            await client.wait_closed()
            assert client.close_code == 4008


APPLICATION = """
from contextlib import asynccontextmanager
from shared.app import build_app
from shared.settings import ServiceSettings, load_settings

@asynccontextmanager
async def lifespan(app):
    yield

def create_app():
    return build_app(
        name="hello", settings=load_settings(ServiceSettings), lifespan=lifespan, routers=[], summary="for tests"
    )
"""


async def test_gunicorn_serves_with_both_classes(tmp_path: Path) -> None:
    async with gunicorn(tmp_path, APPLICATION) as (_, url), httpx.AsyncClient(base_url=url) as client:
        await eventually(lambda: answers(client))
        served = Served()
        served.url = url
        assert problem(await served.exchange(HEAD + b"X: " + b"a" * 50_000_000))["status"] == 431
        assert problem(await served.exchange(UPGRADE.replace(b"13", b"8") + b"\r\n"))["status"] == 400
        assert await answers(client)


class TestCanary:
    """These members are not documented. If one is missing, read uvicorn's changes before the bound is raised."""

    HTTP = (
        "connection_made connection_lost data_received eof_received on_message_begin on_header on_headers_complete"
        " on_body on_message_complete handle_websocket_upgrade send_400_response timeout_keep_alive_handler"
        " transport loop parser headers scope cycle pipeline flow server_state logger timeout_keep_alive"
        " timeout_keep_alive_task"
    )
    CYCLE = "keep_alive disconnected response_started response_complete message_event"
    WEBSOCKET = (
        "connection_made data_received receive send resume_writing handle_connect handle_ping handle_pong handle_text"
        " handle_bytes handle_cont send_receive_event_to_app handle_parser_exception transport loop conn queue frames"
        " writable curr_msg_data_type close_sent close_timer read_paused handshake_initiated handshake_complete"
        " default_headers"
    )

    @pytest.fixture
    def make(self) -> Callable[[type[Any]], Any]:
        def make(protocol: type[Any]) -> Any:
            config = Config(Starlette(), log_config=None)
            config.load()
            return protocol(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())

        return make

    async def test_uvicorns_http_class_has_what_is_used(self, make: Callable[[type[Any]], Any]) -> None:
        protocol = make(HttpToolsProtocol)
        assert [name for name in self.HTTP.split() if not hasattr(protocol, name)] == []
        assert protocol.timeout_keep_alive_task is None

    async def test_its_cycle_has_what_is_used(self, make: Callable[[type[Any]], Any]) -> None:
        protocol = make(HttpToolsProtocol)
        protocol.data_received(HEAD + b"\r\n")
        assert [name for name in self.CYCLE.split() if not hasattr(protocol.cycle, name)] == []
        assert (protocol.url, protocol.scope["headers"]) == (b"/echo", [(b"host", b"shop.example")])
        for task in list(protocol.tasks):
            task.cancel()

    async def test_uvicorns_websocket_class_has_what_is_used(self, make: Callable[[type[Any]], Any]) -> None:
        protocol = make(WebSocketsSansIOProtocol)
        assert [name for name in self.WEBSOCKET.split() if not hasattr(protocol, name)] == []
