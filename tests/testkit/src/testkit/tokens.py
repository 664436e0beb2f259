"""Access tokens like those of the users service, and the key set that verifies them."""

import base64
import time
import uuid
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ISSUER = "hopline-users"
AUDIENCE = "hopline"


class TokenIssuer:
    """An Ed25519 key pair that signs access tokens. A second instance is an untrusted issuer."""

    def __init__(self, *, key_id: str | None = None) -> None:
        self.private_key = Ed25519PrivateKey.generate()
        self.key_id = key_id or uuid.uuid4().hex

    def issue(self, sub: object, *, role: str = "customer", lifetime: int = 300, **claims: Any) -> str:
        """Return a signed token for `sub`, valid for `lifetime` seconds (negative: already expired).

        `claims` are added or replace others. A claim with the value None is omitted.
        """
        now = int(time.time())
        body = {
            "sub": str(sub),
            "role": role,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now + min(lifetime, 0) * 2,  # before `exp`, also for an expired token
            "exp": now + lifetime,
            "jti": uuid.uuid4().hex,
        } | claims
        present = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(present, self.private_key, algorithm="EdDSA", headers={"kid": self.key_id})

    def headers(self, sub: object, *, role: str = "customer", **claims: Any) -> dict[str, str]:
        """Return the Authorization header for `sub`."""
        return {"Authorization": f"Bearer {self.issue(sub, role=role, **claims)}"}

    @property
    def private_pem(self) -> str:
        """Return the private key in PKCS#8 PEM, the format of SIGNING_KEY of the users service."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    @property
    def jwks(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set (RFC 7517, RFC 8037)."""
        public = self.private_key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
        key = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.key_id, "x": x}
        return {"keys": [key]}

    @property
    def jwks_app(self) -> Starlette:
        """Return an application for `serve` with the key set at `/.well-known/jwks.json`."""

        async def keys(_: Request) -> Response:
            return JSONResponse(self.jwks)

        return Starlette(routes=[Route("/.well-known/jwks.json", keys)])


@pytest.fixture(scope="session")
def token_issuer() -> TokenIssuer:
    """Return the issuer that the tested services trust."""
    return TokenIssuer()
