"""Who is calling: access tokens (RFC 9068 style JWTs, Ed25519) verified locally by the published keys (RFC 7517).

Only users can mint a token; every service verifies the caller's own token itself, so that no service has to trust
another's word about who is asking. Keys are fetched once and kept; an unknown key id fetches them again, at most
every few seconds, so that rotation needs no restart and a forged id no flood.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, Protocol
from uuid import UUID

import httpx
import jwt
import structlog
from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param
from starlette.types import Scope

from shared.deadline import remaining_s
from shared.errors import DeadlineSpent, Forbidden, Unauthorized, Unavailable
from shared.headers import header
from shared.settings import TokenSettings
from shared.tracing import trace_of_its_own

ALGORITHM = "EdDSA"
REFETCH_PAUSE_S = 5.0
RETRY_PAUSE_S = 1.0
"""After a failed fetch, who waited for it fails with it: one after another they would wait for as many timeouts."""
FETCH_S = 5.0
CLOCK_SKEW_S = 5
REMEMBERED = 4096
"""Verified tokens that a process keeps, some 2 MB. Checking a signature costs more than all else a token takes, and
callers come with the same token again and again."""

_IDENTITY = "hopline.identity"
_NO_KEYS = "The keys that verify access tokens cannot be fetched"
_INVALID = 'Bearer realm="hopline", error="invalid_token"'


class Role(StrEnum):
    """What a caller may do: `service` is another Hopline process."""

    CUSTOMER = "customer"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The verified caller."""

    user_id: UUID
    role: Role


class KeySource(Protocol):
    """Gives the public key of a key id."""

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key; raise KeyError where the id is unknown, Unavailable where keys cannot be had."""
        ...


class Jwks:
    """Keys from `jwks_url`, kept in memory. `fetch` returns the key set document."""

    def __init__(self, *, fetch: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._fetch = fetch
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._lock = asyncio.Lock()

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key of `kid`, fetching the set anew where it is unknown; raises DeadlineSpent too."""
        if kid not in self._keys:
            await self._look_for(kid)
        return self._keys[kid]

    async def _look_for(self, kid: str) -> None:
        try:
            async with asyncio.timeout(remaining_s()), self._lock:
                if kid not in self._keys and time.monotonic() - self._fetched_at > REFETCH_PAUSE_S:
                    await self._refresh()
        except TimeoutError:
            raise DeadlineSpent("The keys that verify access tokens did not come in time") from None

    async def _refresh(self) -> None:
        if time.monotonic() - self._failed_at < RETRY_PAUSE_S:
            raise Unavailable(_NO_KEYS)
        try:
            with trace_of_its_own():
                found = jwt.PyJWKSet.from_dict(await self._fetch()).keys
        except (httpx.HTTPError, OSError, ValueError, jwt.PyJWTError) as error:  # the last two: no key set
            self._failed_at = time.monotonic()
            raise Unavailable(_NO_KEYS) from error
        self._fetched_at = time.monotonic()
        self._keys = {key.key_id: self._as_known(key.key_id, key) for key in found if key.key_id}

    def _as_known(self, kid: str, key: jwt.PyJWK) -> jwt.PyJWK:
        """The object there was before, where it is the same key: what was verified by it stays verified."""
        before = self._keys.get(kid)
        return before if before and before.key == key.key else key


def jwks_from(client: httpx.AsyncClient, url: str) -> Jwks:
    """Keys fetched by `client` from `url`."""

    async def fetch() -> dict[str, Any]:
        async with asyncio.timeout(FETCH_S):
            response = await client.get(url)
        response.raise_for_status()
        document = response.json()
        if not isinstance(document, dict):
            raise ValueError("a key set is an object")  # noqa: TRY004 - of what was answered, not of an argument
        return document

    return Jwks(fetch=fetch)


class _Verified(NamedTuple):
    identity: Identity
    key_id: str
    key: jwt.PyJWK
    expires_at: float


class TokenVerifier:
    """Verifies access tokens; `issuer` and `audience` must match.

    A verified token is remembered until it expires or its key is no longer the one that is published. By its hash: who
    reads this memory gets no tokens.
    """

    def __init__(self, *, keys: KeySource, settings: TokenSettings, remembered: int = REMEMBERED) -> None:
        self._keys = keys
        self._remembered = remembered
        self._verified: dict[bytes, _Verified] = {}
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience

    async def verify(self, token: str) -> Identity:
        """Return the caller, or raise Unauthorized with the reason (never the token)."""
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
            raise Unauthorized("The access token has expired", challenge=_INVALID) from error
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise Unauthorized("The access token is not valid", challenge=_INVALID) from error
        self._remember(digest, _Verified(identity, kid, key, expires_at=claims["exp"] + CLOCK_SKEW_S))
        return identity

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        if len(self._verified) > self._remembered:
            del self._verified[next(iter(self._verified))]  # the oldest


async def identity_of(scope: Scope) -> Identity:
    """Who is asking, verified once per request; raises Unauthorized, or Unavailable where keys cannot be had."""
    known: Identity | Unauthorized | None = scope.get(_IDENTITY)
    if isinstance(known, Unauthorized):
        raise known
    if known is not None:
        return known
    scheme, token = get_authorization_scheme_param(header(scope, b"authorization"))
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("A bearer token is needed")
    verifier: TokenVerifier = scope["app"].state.token_verifier
    try:
        identity = scope[_IDENTITY] = await verifier.verify(token)
    except Unauthorized as refusal:
        scope[_IDENTITY] = refusal
        raise
    return identity


class CurrentCaller(SecurityBase):
    """The dependency that gives the caller of a request; its id joins the log lines. `identity_of` says what it raises.

    It is the OpenAPI document's security scheme as well, so that the docs page can log in: of two dependencies, one for
    the document and one for the caller, each request would pay both.
    """

    def __init__(self) -> None:
        declared = OAuth2PasswordBearer(tokenUrl="/v2/tokens")
        self.model, self.scheme_name = declared.model, declared.scheme_name

    async def __call__(self, request: Request) -> Identity:
        """The identity, verified by `app.state.token_verifier`."""
        identity = await identity_of(request.scope)
        structlog.contextvars.bind_contextvars(user_id=str(identity.user_id))
        return identity


current_identity = CurrentCaller()

CurrentIdentity = Annotated[Identity, Depends(current_identity)]


def require_role(*roles: Role) -> Callable[[Identity], Awaitable[Identity]]:
    """A dependency that lets only these roles pass and raises Forbidden for others."""

    async def check(identity: CurrentIdentity) -> Identity:
        if identity.role not in roles:
            raise Forbidden(f"This needs the role {' or '.join(roles)}")
        return identity

    return check


ServiceIdentity = Annotated[Identity, Depends(require_role(Role.SERVICE))]
AdminIdentity = Annotated[Identity, Depends(require_role(Role.ADMIN))]
