"""The Ed25519 keys of access tokens. The public keys are published as a JSON Web Key Set, with thumbprints as key ids.

The first key signs and all keys verify. To rotate, append the new key and deploy, so that all services can verify with
it. Then move it to the front and deploy, so that it signs. Remove the old key when the last token that it signed has
expired.
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

from shared.auth import ALGORITHM

_PEM = re.compile(r"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----", re.DOTALL)


def load_private_keys(pem: str) -> list[Ed25519PrivateKey]:
    """Return the keys of a PKCS#8 PEM text in order. Raises ValueError if there is no key or one is not Ed25519."""
    blocks = _PEM.findall(pem)
    if not blocks:
        raise ValueError("has no PEM block 'PRIVATE KEY'; create one with openssl genpkey -algorithm ed25519")
    if len(blocks) != pem.count("-----BEGIN "):
        raise ValueError("has a PEM block that is incomplete or not a 'PRIVATE KEY'; remove or replace it")
    return [_load_private_key(block.encode()) for block in blocks]


def validate_signing_key(value: SecretStr) -> SecretStr:
    """Return the value of the setting if its keys are valid.

    Raises:
        ValueError: The value has no key or an invalid key. The message contains no part of the value.
    """
    load_private_keys(value.get_secret_value())
    return value


class KeyRing:
    """Signs with the first of `keys`, and publishes the public key of each. At least one key is required."""

    def __init__(self, *, keys: Sequence[Ed25519PrivateKey]) -> None:
        documents = [public_jwk(key) for key in keys]
        self.document: dict[str, Any] = {"keys": documents}
        """The JSON Web Key Set, which `/.well-known/jwks.json` returns (RFC 7517)."""
        self._public_keys = {document["kid"]: jwt.PyJWK(document) for document in documents}
        self._signing_key = keys[0]
        self._signing_kid = documents[0]["kid"]

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a JWT of `claims` in compact form."""
        return jwt.encode(dict(claims), self._signing_key, algorithm=ALGORITHM, headers={"kid": self._signing_kid})

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the public key of this id, without a request. Raises KeyError for an unknown id."""
        return self._public_keys[kid]


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """Return the public key as a JSON Web Key (RFC 8037), with its thumbprint (RFC 7638) as `kid`.

    Therefore all replicas publish the same id for the same key, and two keys never share an id.
    """
    x = base64url_encode(key.public_key().public_bytes_raw()).decode()
    members = {"crv": "Ed25519", "kty": "OKP", "x": x}  # RFC 7638 §3.2 requires these members in this order
    thumbprint = base64url_encode(sha256(orjson.dumps(members)).digest()).decode()
    return members | {"kid": thumbprint, "use": "sig", "alg": ALGORITHM}


def _load_private_key(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("has a PEM block that is not a valid private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("has a private key that is not Ed25519")  # noqa: TRY004 - pydantic reports ValueErrors
    return key
