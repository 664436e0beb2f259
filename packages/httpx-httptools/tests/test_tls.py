"""Servers behind TLS."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from httpx_httptools import HttptoolsTransport
from testkit.raw_server import raw_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "orders")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "orders.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


class TestTls:
    async def test_request_is_sent_only_when_the_certificate_is_trusted(
        self, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        async with raw_server(tls=tls) as server:
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
