"""Services behind TLS."""

import datetime as dt
import ipaddress
import ssl
from contextlib import aclosing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from services.gateway.tests.connections.peer import OK, Peer, listening

from gateway.connections import Connections
from gateway.errors import UpstreamUnreachable


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of the loopback address that vouches for itself, with its key."""
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
    async def test_only_who_is_vouched_for_is_asked(self, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        peer = Peer()
        peer.says(OK, OK)
        async with listening(peer, tls=tls) as url:
            stranger = Connections(name="orders", url=url, at_most=1)
            with pytest.raises(UpstreamUnreachable):
                await stranger.request("GET", "/", {})
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            async with aclosing(Connections(name="orders", url=url, at_most=1)) as connections:
                for _ in range(2):
                    assert (await connections.request("GET", "/", {})).body == b"ok"
        assert peer.heard[0].startswith(f"GET / HTTP/1.1\r\nhost: 127.0.0.1:{peer.port}\r\n".encode())
