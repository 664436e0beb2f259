"""Responses that the transport accepts or rejects."""

import asyncio

import httpx
import pytest

from httpx_httptools.connection import MAX_HEAD_BYTES, Connection, Origin
from testkit.raw_server import RawServer
from testkit.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class TestComplete:
    @pytest.mark.parametrize(
        ("sent", "status", "body"),
        [
            (b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nnew", 201, b"new"),
            (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500, b""),
            (CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 200, b"abc"),
            (CHUNKED + b"1\r\na\r\n0\r\nX-Trailer: t\r\n\r\n", 200, b"a"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200, b"ok"),
        ],
    )
    async def test_response_is_complete_and_the_connection_is_kept(
        self, client: httpx.AsyncClient, server: RawServer, sent: bytes, status: int, body: bytes
    ) -> None:
        server.respond(sent, OK)
        response = await client.get("/")
        assert (response.status_code, response.content) == (status, body)
        assert set(response.headers) <= {"content-length", "transfer-encoding"}
        assert (await client.get("/")).content == b"ok"
        assert server.connections == 1

    async def test_headers_keep_their_order_and_number(self, client: httpx.AsyncClient, server: RawServer) -> None:
        server.respond(b"HTTP/1.1 200 OK\r\nLink: <a>\r\nETag: \xe9\r\nlink: <b>\r\nContent-Length: 0\r\n\r\n")
        headers = (await client.get("/")).headers.raw
        assert headers == [(b"link", b"<a>"), (b"etag", b"\xe9"), (b"link", b"<b>"), (b"content-length", b"0")]

    @pytest.mark.parametrize(
        "sent",
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", OK.replace(b"1.1", b"1.0")],
        ids=["close", "1.0"],
    )
    async def test_connection_is_closed_when_the_server_does_not_keep_it(
        self, client: httpx.AsyncClient, server: RawServer, sent: bytes
    ) -> None:
        server.respond(sent, OK)
        assert (await client.post("/")).content == b"ok"
        assert (await client.post("/")).content == b"ok"
        assert server.connections == 2
        await eventually(lambda: server.disconnects == 1)


class TestBroken:
    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(b"hello\r\n\r\n", id="no HTTP"),
            pytest.param(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="upgrade"
            ),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", id="two lengths"),
            pytest.param(
                CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n") + b"ok", id="length and chunks"
            ),
            pytest.param(OK + OK, id="two responses"),
            pytest.param(OK + b"H", id="a second response begins"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES, id="endless header section"),
            pytest.param(CHUNKED + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 200_000, id="endless trailers"),
            pytest.param(CHUNKED + b"1\r\na\r\n0\r\nX: " + b"x" * 1_200_000, id="endless trailer"),
            pytest.param(CHUNKED + b"1\r\na\r\n1;" + b"x" * 1_200_000, id="endless chunk header"),
        ],
    )
    async def test_connection_is_closed_when_the_response_is_invalid(
        self, client: httpx.AsyncClient, server: RawServer, sent: bytes
    ) -> None:
        server.respond(sent, OK)
        with pytest.raises(httpx.RemoteProtocolError, match="Invalid HTTP response"):
            await client.get("/")
        await eventually(lambda: server.disconnects == 1)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(b"HTTP/1.1 200 O", id="head"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", id="length"),
            pytest.param(CHUNKED + b"4\r\nhalf\r\n", id="chunks"),
            pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhalf, or all of it", id="no length"),
            pytest.param(b"", id="nothing"),
        ],
    )
    async def test_response_is_rejected_when_only_the_disconnect_ends_it(
        self, client: httpx.AsyncClient, server: RawServer, sent: bytes
    ) -> None:
        server.disconnect(after=sent)
        with pytest.raises(httpx.RemoteProtocolError, match="Server disconnected"):
            await client.get("/")
        assert len(server.requests) == 1

    async def test_unsolicited_bytes_are_not_the_response_to_the_next_request(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        server.respond(OK, OK)
        await client.post("/")
        server.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        await eventually(lambda: server.disconnects == 1)
        assert (await client.post("/")).status_code == 200
        assert server.connections == 2


class FakeTransport(asyncio.Transport):
    """An open connection that discards the request."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


async def test_header_section_is_rejected_when_all_of_it_arrives_in_one_piece() -> None:
    connection = Connection(Origin(b"http", b"orders", None), on_free=lambda _: None, on_close=lambda _: None)
    connection.connection_made(FakeTransport())
    response = connection.send(b"", read_timeout_s=1)
    connection.data_received(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MAX_HEAD_BYTES + b"Content-Length: 0\r\n\r\n")
    with pytest.raises(httpx.RemoteProtocolError, match="Invalid HTTP response"):
        await response.wait_for_head()
