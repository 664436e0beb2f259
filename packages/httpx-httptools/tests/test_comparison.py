"""Compares this transport with the one of httpx, which it must equal, and with the one of httpx-aiohttp.

httpx-aiohttp adds headers and raises other errors (`AIOHTTP_DIFFERENCES`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import httpx
import httpx_aiohttp
import pytest

from httpx_httptools import HttptoolsTransport
from testkit.apps import free_port
from testkit.raw_server import RawServer, raw_server
from testkit.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

TRANSPORTS: dict[str, Callable[[], httpx.AsyncBaseTransport]] = {
    "httpx": httpx.AsyncHTTPTransport,
    "aiohttp": httpx_aiohttp.AiohttpTransport,
    "httptools": HttptoolsTransport,
}


@pytest.fixture(params=["httpx", "aiohttp"])
async def other(request: pytest.FixtureRequest) -> str:
    """The transport to compare with."""
    name: str = request.param
    return name


REQUESTS = (
    httpx.Request("GET", "http://orders/orders/recent?limit=5", headers={"Accept": "a/b"}),
    httpx.Request("POST", "http://orders/orders", content=b'{"a":1}', headers={"Content-Type": "a/b"}),
    httpx.Request("PUT", "http://orders/"),
    httpx.Request("DELETE", "http://orders/a%20b"),
)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request as the server received it, and the parts of the response as the client received them."""

    start_line: bytes
    headers: set[bytes]
    body: bytes
    response: tuple[object, ...]


async def exchange(client: httpx.AsyncClient, server: RawServer, request: httpx.Request) -> Exchange:
    """Send the request to the server, in place of the host in its URL."""
    url = request.url.copy_with(host="127.0.0.1", port=server.port)
    sent = httpx.Request(request.method, url, headers=request.headers, content=request.content)
    response = await client.send(sent, stream=True)
    response_body = b"".join([part async for part in response.aiter_raw()])
    response_headers = [(key.lower(), value) for key, value in response.headers.raw]
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    start_line, *lines = head.split(b"\r\n")
    pairs = (line.split(b": ", 1) for line in lines)
    return Exchange(
        start_line=start_line,
        headers={name.lower() + b": " + value for name, value in pairs},
        body=body,
        response=(response.status_code, response_headers, response_body, response.http_version),
    )


Fault = Callable[[httpx.AsyncClient, RawServer], None]
"""Prepares the client or the server so that the next request fails."""


async def catch_error(transport: str, inject: Fault) -> type[BaseException]:
    """Send a request that fails, and return the class of the error that the named transport raises."""
    async with (
        raw_server() as server,
        httpx.AsyncClient(transport=TRANSPORTS[transport](), base_url=server.url) as client,
    ):
        inject(client, server)
        with pytest.raises(Exception) as raised:  # noqa: PT011 - the test compares the class
            await client.get("/")
        return raised.type


class TestResponses:
    @pytest.mark.parametrize(
        "response",
        [
            pytest.param(OK, id="length"),
            pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nno", id="repeated"),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", id="chunks"),
            pytest.param(b"HTTP/1.1 204 No Content\r\nETag: x\r\n\r\n", id="no content"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", id="undecoded"),
            pytest.param(b"HTTP/1.1 303 See Other\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", id="redirect"),
        ],
    )
    async def test_requests_and_responses_are_equal(self, other: str, response: bytes) -> None:
        async with (
            raw_server() as server,
            httpx.AsyncClient(transport=TRANSPORTS[other](), timeout=20) as their_client,
            httpx.AsyncClient(transport=HttptoolsTransport(), timeout=20) as our_client,
        ):
            for request in REQUESTS:
                server.respond(response, response)
                theirs = await exchange(their_client, server, request)
                ours = await exchange(our_client, server, request)
                assert ours.response == theirs.response
                assert (ours.start_line, ours.body) == (theirs.start_line, theirs.body)
                if other == "httpx":
                    assert ours.headers == theirs.headers
                else:
                    assert ours.headers <= theirs.headers, "aiohttp adds headers, but must not change any"


AIOHTTP_DIFFERENCES: dict[str, type[Exception]] = {
    "connection refused": httpx.ConnectTimeout,
    "disconnect before the response": httpx.ConnectTimeout,
    "disconnect within the body": httpx.ReadError,
    "response without HTTP": aiohttp.ClientResponseError,
    "line break in a header": ValueError,
}
"""The errors of httpx-aiohttp 0.2 that differ from the errors that httpx documents."""


def use_port_without_server(client: httpx.AsyncClient, _server: RawServer) -> None:
    client.base_url = f"http://127.0.0.1:{free_port()}"


def disconnect_before_the_response(_client: httpx.AsyncClient, server: RawServer) -> None:
    server.disconnect()
    server.disconnect()  # aiohttp sends the request once more


def disconnect_within_the_body(_client: httpx.AsyncClient, server: RawServer) -> None:
    server.disconnect(after=OK[:-1])


def shorten_read_timeout(client: httpx.AsyncClient, _server: RawServer) -> None:
    client.timeout = httpx.Timeout(20, read=0.05)


def respond_without_http(_client: httpx.AsyncClient, server: RawServer) -> None:
    server.respond(b"hello\r\n\r\n")


def set_header_with_line_break(client: httpx.AsyncClient, _server: RawServer) -> None:
    client.headers["accept"] = "a\r\nX: y"


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "inject"),
        [
            ("connection refused", use_port_without_server),
            ("disconnect before the response", disconnect_before_the_response),
            ("disconnect within the body", disconnect_within_the_body),
            ("late response", shorten_read_timeout),
            ("response without HTTP", respond_without_http),
            ("line break in a header", set_header_with_line_break),
        ],
    )
    async def test_error_classes_are_equal_except_for_the_listed_differences(
        self, other: str, name: str, inject: Fault
    ) -> None:
        ours, theirs = await catch_error("httptools", inject), await catch_error(other, inject)
        assert theirs is (AIOHTTP_DIFFERENCES.get(name, ours) if other == "aiohttp" else ours)

    @pytest.mark.parametrize("transport", [httpx.AsyncHTTPTransport, HttptoolsTransport])
    async def test_both_transports_raise_pool_timeout_when_all_connections_are_in_use(
        self, server: RawServer, transport: Callable[..., httpx.AsyncBaseTransport]
    ) -> None:
        limited = transport(limits=httpx.Limits(max_connections=1))
        async with httpx.AsyncClient(transport=limited, base_url=server.url) as client:
            first = asyncio.create_task(client.get("/", timeout=20))
            await eventually(lambda: server.requests)
            with pytest.raises(httpx.PoolTimeout):
                await client.get("/", timeout=httpx.Timeout(20, pool=0.05))
            first.cancel()
