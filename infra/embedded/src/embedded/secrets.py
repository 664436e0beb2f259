"""Secrets of one stack: generated once, one value per file, readable only by the owner."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Secrets:
    """The folder of the secret files. A missing secret is generated when it is first read."""

    folder: Path

    def signing_key(self) -> Path:
        """Return the file with the Ed25519 private key (PKCS#8 PEM) that signs access tokens."""
        return self._ensure("signing-key.pem", _ed25519_pem)

    def client_secret(self) -> Path:
        """Return the file with the secret with which the workers request their service token from users."""
        return self._ensure("workers-client-secret", _random)

    def database_password(self, role: str) -> str:
        """Return the password of a database role."""
        return self._ensure(f"postgres-{role}", _random).read_text()

    def write(self, name: str, value: str) -> Path:
        """Write a derived value, such as a database's URL with its password, and return its file.

        An unchanged file is not written, because a process that starts at this moment would find it empty.
        """
        path = self.folder / name
        if path.exists() and path.read_text() == value:
            return path
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(value)
        return path

    def _ensure(self, name: str, generate: Callable[[], str]) -> Path:
        path = self.folder / name
        if not path.exists():
            self.write(f"{name}.new", generate()).rename(path)  # a crash leaves no incomplete key
        return path


def _random() -> str:
    return secrets.token_urlsafe(24)


def _ed25519_pem() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
