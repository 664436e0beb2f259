"""An httpx client over the transport, and a server that sends the exact bytes of a test."""

from collections.abc import AsyncIterator

import httpx
import pytest

from httpx_httptools import HttptoolsTransport
from testkit.raw_server import RawServer, raw_server


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server() as raw:
        yield raw


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client for the server, with at most three connections. Its only default header is `Host`."""
    transport = HttptoolsTransport(limits=httpx.Limits(max_connections=3, keepalive_expiry=30))
    async with httpx.AsyncClient(transport=transport, base_url=server.url, timeout=20) as client:
        for name in tuple(client.headers):
            del client.headers[name]
        yield client
