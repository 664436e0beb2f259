"""The bytes of sent requests, and requests that the transport rejects."""

from collections.abc import AsyncIterator

import httpx
import pytest

from httpx_httptools import HttptoolsTransport
from httpx_httptools.request import encode_request
from testkit.raw_server import RawServer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class TestEncoding:
    async def test_request_is_one_piece_with_host_headers_and_length(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        server.respond(OK)
        headers = [(b"Accept", b"a/b"), (b"x-name", b"J\xfcrg")]
        await client.post("/orders?dry=1", headers=headers, content=b"body")
        assert server.requests == [
            f"POST /orders?dry=1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode()
            + b"Accept: a/b\r\nx-name: J\xfcrg\r\ncontent-length: 4\r\n\r\nbody"
        ]

    @pytest.mark.parametrize(("method", "sent"), [("GET", False), ("DELETE", False), ("POST", True), ("PATCH", True)])
    def test_content_length_of_an_empty_body_is_sent_only_when_the_method_expects_a_body(
        self, method: str, *, sent: bool
    ) -> None:
        request = encode_request(httpx.Request(method, "http://orders/"))
        assert (b"\r\ncontent-length: 0\r\n" in request) is sent

    @pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding"])
    def test_content_length_is_that_of_the_body_for_any_headers(self, name: str) -> None:
        headers = {name: "1" if name == "Content-Length" else "chunked"}
        encoded = encode_request(httpx.Request("POST", "http://orders/", headers=headers, content=b"body"))
        assert encoded.lower().count(name.lower().encode()) == (name == "Content-Length")
        assert encoded.endswith(b"\r\ncontent-length: 4\r\n\r\nbody")


class TestRejected:
    @pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\ra", "a\n\nGET / HTTP/1.1"])
    async def test_request_is_rejected_when_a_header_has_a_line_break(
        self, client: httpx.AsyncClient, server: RawServer, value: str
    ) -> None:
        for headers in ({"accept": value}, {f"a: b{value}c": "d"}):
            with pytest.raises(httpx.LocalProtocolError, match="line break"):
                await client.get("/", headers=headers)
        assert (server.connections, server.requests) == (0, [])

    @pytest.mark.parametrize("method", ["GET / HTTP/1.1\r\nX:", "GET\r\n", "G T"])
    async def test_request_is_rejected_when_the_method_is_not_one_word(
        self, client: httpx.AsyncClient, server: RawServer, method: str
    ) -> None:
        with pytest.raises(httpx.LocalProtocolError):
            await client.request(method, "/")
        assert (server.connections, server.requests) == (0, [])

    @pytest.mark.parametrize("target", ["/a\r\nX: y", "/a\n", "/\t", "/\x00", "/\x7f"])
    async def test_request_is_rejected_when_the_target_has_a_control_character(
        self, client: httpx.AsyncClient, server: RawServer, target: str
    ) -> None:
        with pytest.raises(httpx.InvalidURL):
            await client.get(target)
        assert (server.connections, server.requests) == (0, [])

    @pytest.mark.parametrize("method", ["HEAD", "CONNECT"])
    async def test_request_is_rejected_when_the_response_has_another_framing(
        self, client: httpx.AsyncClient, method: str
    ) -> None:
        with pytest.raises(httpx.LocalProtocolError, match="not supported"):
            await client.request(method, "/")

    async def test_request_is_rejected_when_the_body_is_a_stream(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"part"

        with pytest.raises(httpx.LocalProtocolError, match="does not stream request bodies"):
            await client.post("/", content=parts())
        request = client.build_request("POST", "/", content=parts())
        await request.aread()
        server.respond(OK)
        await client.send(request)
        assert server.requests[0].endswith(b"\r\ncontent-length: 4\r\n\r\npart")

    async def test_request_is_rejected_when_the_scheme_is_not_http(self) -> None:
        async with httpx.AsyncClient(transport=HttptoolsTransport()) as client:
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get("ftp://orders/")
