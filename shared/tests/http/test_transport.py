"""Each transport that HTTP_TRANSPORT selects raises the exceptions that httpx documents, and calls `on_resend`."""

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.config import HttpTransport
from shared.http.client import open_http_client
from testkit.apps import free_port
from testkit.raw_server import RawServer, raw_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server() as raw:
        yield raw


@pytest.fixture(params=HttpTransport)
async def client(request: pytest.FixtureRequest, server: RawServer) -> AsyncIterator[httpx.AsyncClient]:
    async with open_http_client(server.url, timeout_s=20, transport=request.param) as client:
        yield client


class TestErrors:
    async def test_connect_error_is_raised_when_no_server_listens(self, client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{free_port()}/")

    async def test_connect_timeout_is_raised_when_the_tls_handshake_is_late(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(f"https://127.0.0.1:{server.port}/", timeout=httpx.Timeout(20, connect=0.05))

    async def test_protocol_error_is_raised_when_the_server_disconnects(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        server.disconnect()
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/")

    async def test_protocol_error_is_raised_when_the_response_is_invalid(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        server.respond(b"hello\r\n\r\n")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/")

    async def test_read_timeout_is_raised_when_the_response_is_late(self, client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(20, read=0.05))


class TestResend:
    async def test_on_resend_is_called_before_the_request_is_sent_again(
        self, client: httpx.AsyncClient, server: RawServer
    ) -> None:
        requests_before_resend: list[int] = []
        extensions = {"on_resend": lambda: requests_before_resend.append(len(server.requests))}
        server.respond(OK)
        await client.get("/", extensions=extensions)
        server.disconnect()
        server.respond(OK)
        assert (await client.get("/", extensions=extensions)).content == b"ok"
        assert requests_before_resend == [2]
        assert len(server.requests) == 3
