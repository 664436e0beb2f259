"""Compare this transport with httpx's own and with httpx-aiohttp: requests, responses and errors are equal."""

import asyncio
from collections.abc import Callable

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


async def exchange(
    client: httpx.AsyncClient, server: RawServer, request: httpx.Request
) -> tuple[tuple[bytes, set[bytes], bytes], tuple[object, ...]]:
    """Send the request; return the received start line, headers and body, and the parts of the response."""
    url = request.url.copy_with(host="127.0.0.1", port=server.port)
    sent = httpx.Request(request.method, url, headers=request.headers, content=request.content)
    response = await client.send(sent, stream=True)
    body = b"".join([part async for part in response.aiter_raw()])
    headers = [(key.lower(), value) for key, value in response.headers.raw]
    head, _, content = server.requests[-1].partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    pairs = (line.split(b": ", 1) for line in lines)
    received = {name.lower() + b": " + value for name, value in pairs}
    return (start, received, content), (response.status_code, headers, body, response.http_version)


Act = Callable[[httpx.AsyncClient, RawServer], None]


async def failure(name: str, act: Act) -> type[BaseException]:
    """Send a request with the named transport, and return the class of the error that it raises."""
    async with raw_server() as server, httpx.AsyncClient(transport=TRANSPORTS[name](), base_url=server.url) as client:
        act(client, server)
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
                (start, headers, body), theirs = await exchange(their_client, server, request)
                ours = await exchange(our_client, server, request)
                assert ours[1] == theirs
                assert (ours[0][0], ours[0][2]) == (start, body)
                assert ours[0][1] == headers if other == "httpx" else ours[0][1] <= headers, "aiohttp adds some"


AIOHTTP_DIFFERS: dict[str, type[Exception]] = {
    "refused": httpx.ConnectTimeout,
    "disconnected": httpx.ConnectTimeout,
    "half a body": httpx.ReadError,
    "no http": aiohttp.ClientResponseError,
    "wrong header": ValueError,
}
"""The errors of httpx-aiohttp 0.2 that differ from the errors that httpx documents."""


def _rejected(client: httpx.AsyncClient, _server: RawServer) -> None:
    client.base_url = f"http://127.0.0.1:{free_port()}"


def _disconnected(_client: httpx.AsyncClient, server: RawServer) -> None:
    server.disconnect()
    server.disconnect()


def _half_a_body(_client: httpx.AsyncClient, server: RawServer) -> None:
    server.disconnect(after=OK[:-1])


def _late(client: httpx.AsyncClient, _server: RawServer) -> None:
    client.timeout = httpx.Timeout(20, read=0.05)


def _no_http(_client: httpx.AsyncClient, server: RawServer) -> None:
    server.respond(b"hello\r\n\r\n")


def _wrong_header(client: httpx.AsyncClient, _server: RawServer) -> None:
    client.headers["accept"] = "a\r\nX: y"


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "act"),
        [
            ("refused", _rejected),
            ("disconnected", _disconnected),
            ("half a body", _half_a_body),
            ("late", _late),
            ("no http", _no_http),
            ("wrong header", _wrong_header),
        ],
    )
    async def test_error_classes_are_equal(self, other: str, name: str, act: Act) -> None:
        ours, theirs = await failure("httptools", act), await failure(other, act)
        assert theirs is (AIOHTTP_DIFFERS.get(name, ours) if other == "aiohttp" else ours)

    @pytest.mark.parametrize("transport", [httpx.AsyncHTTPTransport, HttptoolsTransport])
    async def test_pool_timeout_is_equal(
        self, server: RawServer, transport: Callable[..., httpx.AsyncBaseTransport]
    ) -> None:
        limited = transport(limits=httpx.Limits(max_connections=1))
        async with httpx.AsyncClient(transport=limited, base_url=server.url) as client:
            first = asyncio.create_task(client.get("/", timeout=20))
            await eventually(lambda: server.requests)
            with pytest.raises(httpx.PoolTimeout):
                await client.get("/", timeout=httpx.Timeout(20, pool=0.05))
            first.cancel()
