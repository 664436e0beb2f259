"""Connections with pipelined requests, half-closed connections and responses that the client does not read."""

import asyncio
import json
import socket

import pytest

from shared.server.protocols.http import MAX_PIPELINED
from shared.server.protocols.problems import ProblemHttpProtocol
from testkit.connections import close_connection
from testkit.waiting import TIMEOUT_S, eventually

from .protocol_server import CHUNKED, GATE, HEAD, LARGE, ProtocolServer, open_websocket, run_server


class ShortUnreadTimeout(ProblemHttpProtocol):
    """The protocol class with a short timeout for unread responses. It counts its open connections."""

    unread_seconds = 2.0
    open_connections = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        ShortUnreadTimeout.open_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        ShortUnreadTimeout.open_connections -= 1


class TestPipelining:
    async def test_responses_have_the_order_of_the_requests(self, server: ProtocolServer) -> None:
        request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
        response = await server.exchange(
            b"".join(request % number for number in range(8)) + HEAD + b"Connection: close\r\n\r\n"
        )
        bodies = [json.loads(part.partition(b"\r\n\r\n")[2])["body"] for part in response.split(b"HTTP/1.1 200 OK")[1:]]
        assert bodies == [*"01234567", ""]

    async def test_connection_is_closed_when_too_many_requests_wait(self, server: ProtocolServer) -> None:
        response = await server.exchange((HEAD + b"\r\n") * 1000)
        assert response.count(b"HTTP/1.1 200 OK") == MAX_PIPELINED + 1, "the served request and those that waited"

    async def test_earlier_response_is_complete_when_the_next_request_is_invalid(self, server: ProtocolServer) -> None:
        exchange = asyncio.create_task(server.exchange(GATE + b"GARBAGE\r\n\r\n"))
        await eventually(lambda: server.requests)
        server.gate.set()
        response = await exchange
        assert response.startswith(b"HTTP/1.1 200 OK")
        assert response.endswith(b'"opened"')


class TestClosedConnection:
    @pytest.mark.parametrize("version", [b"1.1", b"1.0"])
    async def test_half_closed_connection_gets_the_response(self, quick_server: ProtocolServer, version: bytes) -> None:
        reader, writer = await quick_server.connect()
        writer.write(GATE.replace(b"1.1", version))
        writer.write_eof()
        await eventually(lambda: quick_server.requests)
        if version == b"1.1":  # the server probes the connection with an interim response, and the request continues
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        quick_server.gate.set()
        response = (await reader.read()).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        assert response.startswith(b"HTTP/1.1 200 OK\r\n")
        assert response.endswith(b'"opened"')
        assert quick_server.disconnects == 0
        await close_connection(writer)

    async def test_application_receives_a_disconnect_when_the_client_closes_the_connection(
        self, quick_server: ProtocolServer
    ) -> None:
        _, writer = await quick_server.connect()
        writer.write(GATE)
        await eventually(lambda: quick_server.requests)
        await close_connection(writer)
        await eventually(lambda: quick_server.disconnects)

    async def test_half_closed_connection_is_closed_when_the_response_has_begun(self, server: ProtocolServer) -> None:
        reader, writer = await server.connect()
        writer.write(b"GET /stalled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await eventually(lambda: server.disconnects)
        writer.close()

    async def test_half_closed_connection_is_closed_when_the_request_is_incomplete(
        self, server: ProtocolServer
    ) -> None:
        reader, writer = await server.connect()
        writer.write(CHUNKED + b"1\r\nx")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
        writer.close()


class TestUnreadResponse:
    @pytest.mark.parametrize("path", [b"/large", b"/pieces"])
    @pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
    async def test_connection_is_reset_when_the_response_is_not_read(self, path: bytes, connection: bytes) -> None:
        async with run_server(ShortUnreadTimeout) as server:
            reader, writer = await server.connect()
            writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n" % (path, connection))
            assert b" 200 " in await reader.readline()
            assert ShortUnreadTimeout.open_connections == 1
            await eventually(lambda: not ShortUnreadTimeout.open_connections)
            writer.close()

    async def test_response_is_complete_when_it_is_read_slowly(self) -> None:
        async with run_server(ShortUnreadTimeout) as server:
            reader, writer = await server.connect()
            writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            loop, received_bytes = asyncio.get_running_loop(), 0
            slow_until = loop.time() + 2 * ShortUnreadTimeout.unread_seconds
            while piece := await reader.read(65536):
                received_bytes += len(piece)
                await asyncio.sleep(0.05 if loop.time() < slow_until else 0)
            assert received_bytes == len(LARGE)
            writer.close()

    async def test_timeout_is_not_set_on_the_socket_of_a_websocket(self, server: ProtocolServer) -> None:
        async with open_websocket(server):
            [protocol] = server.protocols
            connection = protocol.transport.get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
