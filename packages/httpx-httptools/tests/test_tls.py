"""Servers behind TLS."""

import ssl
from pathlib import Path

import httpx
import pytest

from httpx_httptools import HttptoolsTransport
from testkit.certificates import create_server_context
from testkit.raw_server import raw_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class TestTls:
    async def test_request_is_sent_only_when_the_certificate_is_trusted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificate = tmp_path / "orders.pem"
        async with raw_server(tls=create_server_context(certificate)) as server:
            server.respond(OK, OK, OK)
            async with httpx.AsyncClient(transport=HttptoolsTransport()) as client:
                with pytest.raises(httpx.ConnectError):
                    await client.get(server.url)
            assert server.requests == []
            trusted = ssl.create_default_context(cafile=certificate)
            async with httpx.AsyncClient(transport=HttptoolsTransport(ssl_context=trusted)) as client:
                for _ in range(2):
                    assert (await client.get(server.url)).content == b"ok"
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            async with httpx.AsyncClient(transport=HttptoolsTransport()) as client:
                assert (await client.get(server.url)).content == b"ok"
