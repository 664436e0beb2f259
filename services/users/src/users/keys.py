"""The keys that sign access tokens: Ed25519, named by their own thumbprint, published as a JSON Web Key Set.

The first key signs, all verify. To rotate, append the new key and deploy (everybody learns it), move it to the front
and deploy (it signs), and remove the old one once its last token has expired.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.utils import base64url_encode
from pydantic import SecretStr

from shared.tokens import ALGORITHM

_PEM = re.compile(r"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----", re.DOTALL)


def private_keys(pem: str) -> list[Ed25519PrivateKey]:
    """The keys of a PKCS#8 PEM text, in its order; raises ValueError where one is of another kind or there is none."""
    blocks = _PEM.findall(pem)
    if not blocks:
        raise ValueError("holds no PEM block 'PRIVATE KEY'; openssl genpkey -algorithm ed25519 makes one")
    return [_private_key(block.encode()) for block in blocks]


def signing_key(value: SecretStr) -> SecretStr:
    """Check a setting that holds such a text; the message of its ValueError names no part of it."""
    private_keys(value.get_secret_value())
    return value


class KeyRing:
    """Signs by the first of `keys` and knows the public half of each; at least one is needed."""

    def __init__(self, *, keys: Sequence[Ed25519PrivateKey]) -> None:
        documents = [public_jwk(key) for key in keys]
        self.document: dict[str, Any] = {"keys": documents}
        """What `/.well-known/jwks.json` answers (RFC 7517)."""
        self._public = {document["kid"]: jwt.PyJWK(document) for document in documents}
        self._signing = keys[0]
        self._kid = documents[0]["kid"]

    def sign(self, claims: Mapping[str, object]) -> str:
        """A JWT of `claims` in the compact form."""
        return jwt.encode(dict(claims), self._signing, algorithm=ALGORITHM, headers={"kid": self._kid})

    async def key(self, kid: str) -> jwt.PyJWK:
        """Our own public key of this id, without asking anybody; raises KeyError where it is not ours."""
        return self._public[kid]


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """The public half as a JSON Web Key (RFC 8037) whose `kid` is its RFC 7638 thumbprint.

    Every replica that is given the same key thus publishes the same id, and no two keys share one.
    """
    x = base64url_encode(key.public_key().public_bytes_raw()).decode()
    members = {"crv": "Ed25519", "kty": "OKP", "x": x}  # these members, in this order: RFC 7638 §3.2
    thumbprint = base64url_encode(sha256(orjson.dumps(members)).digest()).decode()
    return members | {"kid": thumbprint, "use": "sig", "alg": ALGORITHM}


def _private_key(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds a PEM block that is no readable private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("holds a private key that is not Ed25519")  # noqa: TRY004 - pydantic reports ValueErrors
    return key
