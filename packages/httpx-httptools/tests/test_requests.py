"""What is written on a connection, and what never is."""

import pytest
from services.gateway.tests.connections.peer import OK, Peer

from gateway.connections import Connections
from gateway.connections.request import Origin


class TestHead:
    async def test_is_one_piece_with_host_headers_and_length(self, connections: Connections, peer: Peer) -> None:
        peer.says(OK)
        await connections.request("POST", "/orders?dry=1", {"Accept": "a/b", "x-name": "J\xfcrg"}, b"body")
        assert peer.heard == [
            f"POST /orders?dry=1 HTTP/1.1\r\nhost: 127.0.0.1:{peer.port}\r\n".encode()
            + b"Accept: a/b\r\nx-name: J\xfcrg\r\ncontent-length: 4\r\n\r\nbody"
        ]

    @pytest.mark.parametrize(("method", "told"), [("GET", False), ("DELETE", False), ("POST", True), ("PATCH", True)])
    def test_says_that_there_is_no_body_where_one_is_usual(self, method: str, *, told: bool) -> None:
        request = Origin.of("http://orders").request(method, "/", {}, b"")
        assert (b"\r\ncontent-length: 0\r\n" in request) is told

    @pytest.mark.parametrize(
        ("url", "host", "port", "authority"),
        [
            ("http://orders", "orders", 80, "orders"),
            ("http://orders:80/", "orders", 80, "orders"),
            ("http://orders:8002", "orders", 8002, "orders:8002"),
            ("https://orders", "orders", 443, "orders"),
            ("https://orders:80", "orders", 80, "orders:80"),
            ("http://[::1]:8002", "::1", 8002, "[::1]:8002"),
            ("http://[::1]", "::1", 80, "[::1]"),
        ],
    )
    def test_names_the_host_as_the_url_does(self, url: str, host: str, port: int, authority: str) -> None:
        origin = Origin.of(url)
        assert (origin.host, origin.port) == (host, port)
        assert f"\r\nhost: {authority}\r\n".encode() in origin.request("GET", "/", {}, b"")

    def test_begins_with_the_path_that_a_service_is_below(self) -> None:
        assert Origin.of("http://mesh/orders/").request("GET", "/x", {}, b"").startswith(b"GET /orders/x HTTP/1.1\r\n")


class TestSplitting:
    @pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\ra", "a\n\nGET / HTTP/1.1"])
    async def test_a_header_can_not_begin_another_line(self, connections: Connections, peer: Peer, value: str) -> None:
        for headers in ({"accept": value}, {f"a: b{value}c": "d"}):
            with pytest.raises(ValueError, match="line break"):
                await connections.request("GET", "/", headers)
        assert (peer.made, peer.heard) == (0, [])

    @pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\n", "/\t", "/\x00", "/\x7f", "/\xe9"])
    async def test_a_target_is_one_word(self, connections: Connections, peer: Peer, target: str) -> None:
        with pytest.raises(ValueError, match="no target"):
            await connections.request("GET", target, {})
        assert (peer.made, peer.heard) == (0, [])
