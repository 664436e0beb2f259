"""What is taken for an answer, and what is not."""

import pytest
from services.gateway.tests.connections.peer import OK, Peer

from gateway.connections import Connections
from gateway.connections.connection import HEAD_BYTES
from gateway.errors import UpstreamBroken
from testkit.waiting import eventually

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class TestWhole:
    @pytest.mark.parametrize(
        ("said", "status", "body"),
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
    async def test_it_ends_where_it_says_and_the_connection_is_kept(
        self, connections: Connections, peer: Peer, said: bytes, status: int, body: bytes
    ) -> None:
        peer.says(said, OK)
        reply = await connections.request("GET", "/", {})
        assert (reply.status, reply.body) == (status, body)
        assert {name for name, _ in reply.headers} <= {b"content-length", b"transfer-encoding"}
        assert (await connections.request("GET", "/", {})).body == b"ok"
        assert peer.made == 1

    async def test_headers_keep_their_order_and_number_and_have_names_in_lower_case(
        self, connections: Connections, peer: Peer
    ) -> None:
        peer.says(b"HTTP/1.1 200 OK\r\nLink: <a>\r\nETag: \xe9\r\nlink: <b>\r\nContent-Length: 0\r\n\r\n")
        reply = await connections.request("GET", "/", {})
        assert reply.headers == [(b"link", b"<a>"), (b"etag", b"\xe9"), (b"link", b"<b>"), (b"content-length", b"0")]

    @pytest.mark.parametrize(
        "said",
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", OK.replace(b"1.1", b"1.0")],
        ids=["close", "1.0"],
    )
    async def test_a_service_that_keeps_no_connection_is_asked_on_another(
        self, connections: Connections, peer: Peer, said: bytes
    ) -> None:
        peer.says(said, OK)
        assert (await connections.request("POST", "/", {})).body == b"ok"
        assert (await connections.request("POST", "/", {})).body == b"ok"
        assert peer.made == 2
        await eventually(lambda: peer.lost == 1)


class TestBroken:
    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(b"hello\r\n\r\n", id="no HTTP"),
            pytest.param(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="upgrade"
            ),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", id="two lengths"),
            pytest.param(
                CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n") + b"ok", id="length and chunks"
            ),
            pytest.param(OK + OK, id="two answers"),
            pytest.param(OK + b"H", id="a second one begins"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * HEAD_BYTES, id="a head without an end"),
        ],
    )
    async def test_what_is_no_answer_to_one_request_closes_the_connection(
        self, connections: Connections, peer: Peer, said: bytes
    ) -> None:
        peer.says(said, OK)
        with pytest.raises(UpstreamBroken, match="orders answered in no HTTP that can be read"):
            await connections.request("GET", "/", {})
        await eventually(lambda: peer.lost == 1)
        assert len(peer.heard) == 1

    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(b"HTTP/1.1 200 O", id="head"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", id="length"),
            pytest.param(CHUNKED + b"4\r\nhalf\r\n", id="chunks"),
            pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhalf, or all of it", id="no length"),
            pytest.param(b"", id="nothing"),
        ],
    )
    async def test_what_only_the_connection_ends_could_be_half_of_it(
        self, connections: Connections, peer: Peer, said: bytes
    ) -> None:
        peer.hangs_up(after=said)
        with pytest.raises(UpstreamBroken, match="orders broke off its answer"):
            await connections.request("GET", "/", {})
        assert len(peer.heard) == 1

    async def test_what_nobody_asked_for_is_no_answer_to_the_next(self, connections: Connections, peer: Peer) -> None:
        peer.says(OK, OK)
        await connections.request("POST", "/", {})
        peer.adds(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        await eventually(lambda: peer.lost == 1)
        assert (await connections.request("POST", "/", {})).status == 200
        assert peer.made == 2
