"""Verification of access tokens."""

import time
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import jwt

from shared.auth.keys import KeySource
from shared.config import TokenSettings
from shared.errors.problems import UnauthorizedError
from shared.identity import Identity, Role

ALGORITHM = "EdDSA"

CLOCK_SKEW_S = 5
"""Tolerated difference between the clocks of the issuer and of this process, in seconds."""

MAX_CACHED_TOKENS = 4096
"""Maximum number of verified tokens in the cache of a process, which then takes about 2 MB."""

_INVALID = 'Bearer realm="hopline", error="invalid_token"'


class _Verified(NamedTuple):
    identity: Identity
    key_id: str
    key: jwt.PyJWK
    expires_at: float


class TokenVerifier:
    """Verifies access tokens: signature, expiry, issuer and audience.

    Clients send a token many times, and checking a signature is expensive. So verified tokens are cached until they
    expire or their key changes. The cache contains hashes, not tokens.
    """

    def __init__(self, *, keys: KeySource, settings: TokenSettings, max_cached: int = MAX_CACHED_TOKENS) -> None:
        self._keys = keys
        self._max_cached = max_cached
        self._verified: dict[bytes, _Verified] = {}
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience

    async def verify(self, token: str) -> Identity:
        """Return the caller; raises UnauthorizedError, whose detail never contains the token."""
        digest = sha256(token.encode()).digest()
        try:
            known = self._verified.get(digest)
            kid: str = known.key_id if known else jwt.get_unverified_header(token)["kid"]
            key = await self._keys.key(kid)
            if known and known.key is key and time.time() < known.expires_at:
                return known.identity
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=CLOCK_SKEW_S,
                options={"require": ["exp", "iat", "sub", "jti"]},
            )
            identity = Identity(user_id=UUID(claims["sub"]), role=Role(claims["role"]))
        except jwt.ExpiredSignatureError as error:
            raise UnauthorizedError("The access token has expired", challenge=_INVALID) from error
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise UnauthorizedError("The access token is not valid", challenge=_INVALID) from error
        self._cache(digest, _Verified(identity, kid, key, expires_at=claims["exp"] + CLOCK_SKEW_S))
        return identity

    def _cache(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        if len(self._verified) > self._max_cached:
            del self._verified[next(iter(self._verified))]  # the oldest
