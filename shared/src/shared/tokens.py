"""Who is calling: access tokens (RFC 9068 style JWTs, Ed25519) verified locally by the published keys (RFC 7517).

Only users can mint a token; every service verifies the caller's own token itself, so that no service has to trust
another's word about who is asking. Keys are kept in memory and refreshed in the background. An unknown key id fetches
them at once, at most every few seconds, so that a rotation needs no restart and forged ids cause no flood. A worker
process that gunicorn starts anew begins with the keys that its predecessors knew.
"""

import asyncio
import mmap
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, Protocol
from uuid import UUID
from zlib import crc32

import httpx
import jwt
import orjson
import structlog
from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from starlette.types import Scope

from shared.background import Background
from shared.deadline import remaining_s
from shared.errors import DeadlineSpent, Forbidden, Unauthorized, Unavailable
from shared.headers import header
from shared.settings import TokenSettings
from shared.tracing import trace_of_its_own

ALGORITHM = "EdDSA"
REFRESH_S = 300.0
"""Interval of the refresh in the background; until then a key that is no longer published still verifies tokens."""
REFETCH_PAUSE_S = 5.0
RETRY_PAUSE_S = 1.0
"""Time after a failed fetch during which requests that need it fail at once instead of waiting for one timeout each."""
FIRST_FETCH_PAUSES_S = (0.1, 0.2)
"""Pauses between the attempts of a process that knows no keys: all of its authenticated requests would fail."""
FETCH_S = 2.0
"""Timeout of a fetch with all its attempts; below the timeout of any request that waits for it."""
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


class InheritedKeys:
    """The last key set that a worker of this gunicorn master fetched, in memory that each new worker inherits.

    Empty and without effect until `share` is called, before the fork (`shared.gunicorn`). Several workers may write at
    the same time: a reader ignores a torn document by its checksum. The keys are public.
    """

    _SIZE = 64 * 1024
    _HEADER = struct.Struct("=II")

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None

    def share(self) -> None:
        """Allocate the memory."""
        self._memory = mmap.mmap(-1, self._SIZE)

    def read(self) -> dict[str, Any] | None:
        """Return the document, or None if no worker has written one."""
        if self._memory is None:
            return None
        length, checksum = self._HEADER.unpack_from(self._memory)
        content = self._memory[self._HEADER.size : self._HEADER.size + length]
        if not content or crc32(content) != checksum:
            return None
        document: dict[str, Any] = orjson.loads(content)
        return document

    def write(self, document: dict[str, Any]) -> None:
        """Store the document; one that is too large is not stored."""
        content = orjson.dumps(document)
        end = self._HEADER.size + len(content)
        if self._memory is not None and end <= self._SIZE:
            self._memory[:end] = self._HEADER.pack(len(content), crc32(content)) + content


inherited_keys = InheritedKeys()


class Jwks(Background):
    """Keys of a published key set, kept in memory. `fetch` returns the key set document.

    As an async context manager it refreshes the keys in the background, and keeps those it knows while that fails. It
    begins with the keys that `inherited` holds, and stores there what it fetches.
    """

    outages = (Unavailable,)

    def __init__(
        self, *, fetch: Callable[[], Awaitable[dict[str, Any]]], inherited: InheritedKeys = inherited_keys
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._inherited = inherited
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._lock = asyncio.Lock()
        if document := inherited.read():
            self._use(document)

    def __str__(self) -> str:
        return "keys of access tokens"

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key of `kid`, fetching the set anew where it is unknown; raises DeadlineSpent too."""
        if kid not in self._keys:
            await self._look_for(kid)
        return self._keys[kid]

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress_http_instrumentation():  # polling would fill the traces
                async with self._lock:
                    await self._refresh()
            with self._resting():
                await self._pause(REFRESH_S)

    async def _look_for(self, kid: str) -> None:
        try:
            async with asyncio.timeout(remaining_s()), self._lock:
                if kid not in self._keys and time.monotonic() - self._fetched_at > REFETCH_PAUSE_S:
                    await self._refresh_for_requests()
        except TimeoutError:
            raise DeadlineSpent("The keys that verify access tokens did not come in time") from None

    async def _refresh_for_requests(self) -> None:
        if time.monotonic() - self._failed_at < RETRY_PAUSE_S:
            raise Unavailable(_NO_KEYS)
        try:
            with trace_of_its_own():
                await self._refresh()
        except Unavailable:
            self._failed_at = time.monotonic()
            raise

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                document = await self._fetch_patiently()
            self._use(document)
        except _FETCH_ERRORS as error:
            raise Unavailable(_NO_KEYS) from error
        self._fetched_at = time.monotonic()
        self._inherited.write(document)

    async def _fetch_patiently(self) -> dict[str, Any]:
        """Fetch the document, with more than one attempt if no keys are known."""
        for pause_s in () if self._keys else FIRST_FETCH_PAUSES_S:
            try:
                return await self._fetch()
            except _FETCH_ERRORS:
                await asyncio.sleep(pause_s)
        return await self._fetch()

    def _use(self, document: dict[str, Any]) -> None:
        """Replace the keys; raises ValueError or PyJWTError if the document is not a key set."""
        found = jwt.PyJWKSet.from_dict(document).keys
        self._keys = {key.key_id: self._as_known(key.key_id, key) for key in found if key.key_id}

    def _as_known(self, kid: str, key: jwt.PyJWK) -> jwt.PyJWK:
        """The object there was before, where it is the same key: what was verified by it stays verified."""
        before = self._keys.get(kid)
        return before if before and before.key == key.key else key


_FETCH_ERRORS = (httpx.HTTPError, OSError, ValueError, jwt.PyJWTError)
"""The last two are a document that is not a key set; OSError includes TimeoutError."""


def jwks_from(client: httpx.AsyncClient, url: str) -> Jwks:
    """Return the keys that `client` fetches from `url`."""

    async def fetch() -> dict[str, Any]:
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
