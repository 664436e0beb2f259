"""Handshakes and frames of WebSockets, sent as raw bytes."""

import asyncio
import socket

import pytest
import websockets.asyncio.client
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.frames import Opcode

from shared.config import LogFormat
from shared.logging.setup import configure_logging
from shared.server.protocols.websocket import (
    KERNEL_BUFFER_BYTES,
    MAX_CONTROL_FRAMES_PER_SECOND,
    BoundedWebSocketProtocol,
)
from testkit.apps import serve
from testkit.waiting import TIMEOUT_S, eventually

from .protocol_server import (
    UPGRADE,
    ProtocolServer,
    encode_frame,
    encode_server_frame,
    find_events,
    open_websocket,
    parse_problem,
)


class TestWebSocket:
    async def test_connection_is_closed_with_1008_when_too_many_pings_arrive(
        self, server: ProtocolServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ping = b"x" * 100
        async with open_websocket(server) as (reader, writer):
            writer.write(encode_frame(Opcode.PING, ping) * 100_000)
            received = await asyncio.wait_for(reader.read(), TIMEOUT_S)
        pong, close_body = encode_server_frame(Opcode.PONG, ping), (1008).to_bytes(2) + b"too many control frames"
        assert received.endswith(encode_server_frame(Opcode.CLOSE, close_body))
        assert 0 < received.count(pong) <= MAX_CONTROL_FRAMES_PER_SECOND
        await eventually(lambda: server.websocket_ends == [1008])
        [record] = find_events(capsys.readouterr().out, "websocket_failed")
        assert (record["level"], record["code"]) == ("info", 1008)

    @pytest.mark.parametrize(
        "flood",
        [
            pytest.param(encode_frame(Opcode.PONG), id="pongs"),
            pytest.param(encode_frame(Opcode.CONT, fin=False), id="empty fragments"),
        ],
    )
    async def test_connection_is_closed_with_1008_when_too_many_pongs_or_fragments_arrive(
        self, server: ProtocolServer, flood: bytes
    ) -> None:
        begin = encode_frame(Opcode.TEXT, b"x", fin=False)
        async with open_websocket(server) as (reader, writer):
            writer.write(begin + flood * 10_000)
            received = await asyncio.wait_for(reader.read(), TIMEOUT_S)
        assert (1008).to_bytes(2) in received

    async def test_only_the_latest_ping_gets_a_pong_when_several_arrive_together(self, server: ProtocolServer) -> None:
        async with open_websocket(server) as (reader, writer):
            writer.write(b"".join(encode_frame(Opcode.PING, b"%d" % number) for number in range(10)))
            writer.write(encode_frame(Opcode.CLOSE, (1000).to_bytes(2)))
            received = await asyncio.wait_for(reader.read(), TIMEOUT_S)
        assert received.startswith(encode_server_frame(Opcode.PONG, b"9"))

    async def test_pong_waits_and_reading_pauses_when_the_transport_is_not_writable(
        self, server: ProtocolServer
    ) -> None:
        async with open_websocket(server) as (reader, writer):
            [protocol] = server.protocols
            protocol.pause_writing()  # as the transport does when its buffer is full
            writer.write(encode_frame(Opcode.PING, b"a"))
            await eventually(lambda: not protocol.transport.is_reading())
            writer.write(encode_frame(Opcode.PING, b"b") + encode_frame(Opcode.TEXT, b"hello"))
            protocol.resume_writing()
            pongs = encode_server_frame(Opcode.PONG, b"a") + encode_server_frame(Opcode.PONG, b"b")
            expected = pongs + encode_server_frame(Opcode.TEXT, b"hello")
            assert await reader.readexactly(len(expected)) == expected

    async def test_few_messages_wait_in_the_queue_when_many_arrive_together(self, server: ProtocolServer) -> None:
        texts = [b"%05d" % number for number in range(20_000)]
        async with open_websocket(server) as (reader, writer):
            writer.write(b"".join(encode_frame(Opcode.TEXT, text) for text in texts))
            max_waiting = 0
            for text in texts:
                expected = encode_server_frame(Opcode.TEXT, text)
                assert await reader.readexactly(len(expected)) == expected
                max_waiting = max(max_waiting, server.protocols[0].queue.qsize())
        assert max_waiting < 1000

    async def test_frames_wait_until_the_handshake_is_complete(self, server: ProtocolServer) -> None:
        reader, writer = await server.connect()
        writer.write(UPGRADE.replace(b"/ws", b"/late") + b"\r\n")
        await eventually(lambda: server.requests)
        writer.write(encode_frame(Opcode.PING, b"a"))
        await eventually(lambda: not server.protocols[0].transport.is_reading())
        server.gate.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        pong = encode_server_frame(Opcode.PONG, b"a")
        assert await reader.readexactly(len(pong)) == pong
        writer.close()

    async def test_connection_is_closed_with_1007_when_text_is_not_utf_8(
        self, server: ProtocolServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with open_websocket(server) as (reader, writer):
            writer.write(encode_frame(Opcode.TEXT, b"\xc3", fin=False) + encode_frame(Opcode.CONT, b"\x28"))
            received = await asyncio.wait_for(reader.read(), TIMEOUT_S)
        assert received[2:4] == (1007).to_bytes(2)
        await eventually(lambda: server.websocket_ends == [1007])
        output = capsys.readouterr().out
        [record] = find_events(output, "websocket_failed")
        assert (record["level"], record["code"]) == ("info", 1007)
        assert "Traceback" not in output
        assert '"error"' not in output

    async def test_frames_and_headers_are_not_logged_when_the_level_is_debug(
        self, server: ProtocolServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logging(service="hello", level="DEBUG", log_format=LogFormat.JSON)
        async with open_websocket(server) as (reader, writer):
            writer.write(encode_frame(Opcode.TEXT, b"a ticket"))
            await reader.readexactly(len(encode_server_frame(Opcode.TEXT, b"a ticket")))
        output = capsys.readouterr().out
        assert "WebSocket /ws" in output
        assert "a ticket" not in output
        assert "Sec-WebSocket-Key" not in output

    async def test_text_is_valid_when_a_fragment_ends_within_a_character(self, server: ProtocolServer) -> None:
        async with open_websocket(server) as (reader, writer):
            first_byte, second_byte = b"\xc3", b"\xbc"
            writer.write(encode_frame(Opcode.TEXT, first_byte, fin=False) + encode_frame(Opcode.CONT, second_byte))
            expected = encode_server_frame(Opcode.TEXT, first_byte + second_byte)
            assert await reader.readexactly(len(expected)) == expected

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
    async def test_response_is_a_problem_when_the_handshake_is_invalid(
        self, server: ProtocolServer, handshake: bytes, status: int
    ) -> None:
        response = await server.exchange(handshake + b"\r\n")
        assert parse_problem(response)["status"] == status
        assert b"\r\nsec-websocket-version: 13\r\n" in response

    async def test_close_frame_is_sent_when_the_peer_does_not_read(self) -> None:
        protocols: list[BoundedWebSocketProtocol] = []
        closed = asyncio.Event()

        class RecordedWebSocketProtocol(BoundedWebSocketProtocol):
            def __init__(self, *arguments: object, **named: object) -> None:
                super().__init__(*arguments, **named)
                protocols.append(self)

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            [protocol] = protocols
            buffer = protocol.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert buffer == 2 * KERNEL_BUFFER_BYTES  # Linux doubles the value that is set (socket(7))
            protocol.pause_writing()  # as the transport does when its buffer is full
            assert not protocol.writable.is_set()
            await websocket.close(4008)
            assert protocol.close_timer is not None
            assert protocol.close_timer.when() - protocol.loop.time() > protocol.close_timeout
            closed.set()

        app = Starlette(routes=[WebSocketRoute("/", endpoint)])
        async with (
            serve(app, ws=RecordedWebSocketProtocol) as url,
            websockets.asyncio.client.connect(url.replace("http", "ws")) as client,
        ):
            await asyncio.wait_for(closed.wait(), TIMEOUT_S)
            await client.wait_closed()
            assert client.close_code == 4008
