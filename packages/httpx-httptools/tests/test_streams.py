"""Response bodies that the client reads while they arrive."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import httpx
import pytest

from httpx_httptools import HttptoolsTransport
from testkit.raw_server import RawServer
from testkit.waiting import TIMEOUT_S, eventually

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FIRST_HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"


@asynccontextmanager
async def begin_response(client: httpx.AsyncClient, server: RawServer) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the body of a response whose first half was read."""
    server.respond(b"HTTP/1.1 103 Early Hints\r\n\r\n" + FIRST_HALF)
    async with client.stream("GET", "/") as response:
        assert response.status_code == 200
        body = response.aiter_raw()
        assert await anext(body) == b"half"
        yield body


class TestStream:
    async def test_connection_is_kept_when_the_stream_is_read_to_its_end(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        async with begin_response(client, server) as body:
            server.send(b"done")
            assert [piece async for piece in body] == [b"done"]
        server.respond(OK)
        assert (await client.get("/")).content == b"ok"
        assert server.connections == 1

    async def test_connection_is_closed_when_the_stream_is_not_read_to_its_end(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        async with begin_response(client, server):
            pass
        await eventually(lambda: server.disconnects == 1)
        server.respond(OK)
        assert (await client.get("/")).content == b"ok"

    async def test_connection_is_kept_when_the_whole_body_has_arrived_but_is_not_read(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        server.respond(OK, OK)
        async with client.stream("GET", "/"):
            pass
        assert (await client.get("/")).content == b"ok"
        assert server.connections == 1

    async def test_protocol_error_is_raised_when_the_server_disconnects_in_the_body(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        server.disconnect(after=FIRST_HALF)
        async with client.stream("GET", "/") as response:
            body = response.aiter_raw()
            assert await anext(body) == b"half"
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(body)

    async def test_protocol_error_is_raised_when_bytes_follow_the_body(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        async with begin_response(client, server) as body:
            server.send(b"done" + OK)
            with pytest.raises(httpx.RemoteProtocolError):
                assert [piece async for piece in body] == [b"done"]

    async def test_read_timeout_is_raised_when_the_rest_of_the_body_is_late(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        client.timeout = httpx.Timeout(20, read=0.05)
        server.respond(FIRST_HALF)
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/")
        await eventually(lambda: server.disconnects == 1)

    async def test_response_is_returned_when_it_arrived_in_time_but_the_loop_was_busy(self) -> None:
        received, loop_is_blocked, sent, body_is_expected = (threading.Event() for _ in range(4))
        head, body = FIRST_HALF.split(b"half")[0], b"the body"

        def respond(listener: socket.socket) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                received.set()
                loop_is_blocked.wait()
                connection.sendall(head)
                sent.set()
                body_is_expected.wait(TIMEOUT_S)
                connection.sendall(body)

        read_timeout_s = 0.2
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
            server = threads.submit(respond, listener)
            async with httpx.AsyncClient(transport=HttptoolsTransport(), timeout=read_timeout_s) as client:
                request = client.build_request("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/")
                sending = asyncio.create_task(client.send(request, stream=True))
                await eventually(received.is_set)
                loop_is_blocked.set()
                sent.wait()
                time.sleep(read_timeout_s)  # noqa: ASYNC251 - the timeout expires before the loop reads the head
                response = await sending
                body_is_expected.set()
                assert await response.aread() == body
            server.result()

    async def test_server_cannot_send_the_whole_body_before_the_client_reads(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        body_bytes = 16 * 1024 * 1024
        server.respond(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % body_bytes + bytes(body_bytes))
        async with client.stream("GET", "/") as response:
            await eventually(lambda: server.unsent > body_bytes // 2)
            assert sum([len(piece) async for piece in response.aiter_raw()]) == body_bytes
        server.respond(OK)
        assert (await client.get("/")).content == b"ok"
        assert server.connections == 1
