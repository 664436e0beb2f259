"""The public keys that verify access tokens (RFC 7517)."""

import asyncio
import mmap
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from zlib import crc32

import httpx
import jwt
import orjson
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from shared.background import BackgroundLoop
from shared.context import remaining_s
from shared.errors.problems import DeadlineExceededError, UnavailableError
from shared.telemetry.spans import detached_context

REFRESH_S = 300.0
"""Interval of the background refresh. A withdrawn key verifies tokens until the next refresh."""

REFETCH_PAUSE_S = 5.0
"""Minimum time from a successful fetch to one for an unknown key id, which forged tokens can contain."""

RETRY_PAUSE_S = 1.0
"""Time after a failed fetch for a request during which further requests that need a fetch fail without one."""

FIRST_FETCH_PAUSES_S = (0.1, 0.2)
"""Pauses between the attempts of a process without any keys, whose authenticated requests all fail."""

FETCH_S = 2.0
"""Timeout of a fetch with all its attempts, in seconds."""

_NO_KEYS = "The keys that verify access tokens cannot be fetched"


class KeySource(Protocol):
    """Finds public keys by key id."""

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key.

        Raises:
            KeyError: The id is unknown.
            UnavailableError: The keys cannot be fetched.
            DeadlineExceededError: The deadline of the request has passed.
        """
        ...


class InheritedKeys:
    """The last key set that a worker of this gunicorn master fetched, in memory that new workers inherit.

    `shared.server.gunicorn` calls `allocate` before the fork. Without that call nothing is stored. Several workers can
    write at the same time, so a checksum detects a mixture of two documents. The keys are public.
    """

    _SIZE = 64 * 1024
    _HEADER = struct.Struct("=II")

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None

    def allocate(self) -> None:
        """Allocate the memory."""
        self._memory = mmap.mmap(-1, self._SIZE)

    def read(self) -> dict[str, Any] | None:
        """Return the document, or None if no worker has written one or its checksum is wrong."""
        if self._memory is None:
            return None
        length, checksum = self._HEADER.unpack_from(self._memory)
        content = self._memory[self._HEADER.size : self._HEADER.size + length]
        if not content or crc32(content) != checksum:
            return None
        document: dict[str, Any] = orjson.loads(content)
        return document

    def write(self, document: dict[str, Any]) -> None:
        """Store the document for new workers unless it is larger than the memory."""
        content = orjson.dumps(document)
        end = self._HEADER.size + len(content)
        if self._memory is not None and end <= self._SIZE:
            self._memory[:end] = self._HEADER.pack(len(content), crc32(content)) + content


inherited_keys = InheritedKeys()


class JwksCache(BackgroundLoop):
    """Keys of a published key set, cached in memory and refreshed in the background.

    `fetch` returns the key set document. If it fails, the cached keys stay. The cache starts with the keys of
    `inherited`, and writes fetched documents there.
    """

    def __init__(
        self,
        *,
        fetch: Callable[[], Awaitable[dict[str, Any]]],
        inherited: InheritedKeys = inherited_keys,
        refresh_s: float = REFRESH_S,
        refetch_pause_s: float = REFETCH_PAUSE_S,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._inherited = inherited
        self._refresh_s = refresh_s
        self._refetch_pause_s = refetch_pause_s
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._lock = asyncio.Lock()
        if document := inherited.read():
            self._use(document)

    def __str__(self) -> str:
        return "keys of access tokens"

    def is_outage(self, error: Exception) -> bool:
        """Return whether the keys cannot be fetched."""
        return isinstance(error, UnavailableError)

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key of `kid`; fetch the key set if it is unknown.

        Raises:
            KeyError: The key set has no such key.
            UnavailableError: The key set cannot be fetched.
            DeadlineExceededError: The fetch did not finish before the deadline of the request.
        """
        if kid not in self._keys:
            await self._fetch_missing(kid)
        return self._keys[kid]

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress_http_instrumentation():  # otherwise each refresh would be a trace
                async with self._lock:
                    await self._refresh()
            with self._cancellable():
                await self._pause(self._refresh_s)

    async def _fetch_missing(self, kid: str) -> None:
        try:
            async with asyncio.timeout(remaining_s()), self._lock:
                if kid not in self._keys and time.monotonic() - self._fetched_at > self._refetch_pause_s:
                    await self._refresh_for_requests()
        except TimeoutError:
            raise DeadlineExceededError("The keys that verify access tokens could not be fetched in time") from None

    async def _refresh_for_requests(self) -> None:
        if time.monotonic() - self._failed_at < RETRY_PAUSE_S:
            raise UnavailableError(_NO_KEYS)
        try:
            with detached_context():
                await self._refresh()
        except UnavailableError:
            self._failed_at = time.monotonic()
            raise

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                document = await self._fetch_with_retries()
            self._use(document)
        except _FETCH_ERRORS as error:
            raise UnavailableError(_NO_KEYS) from error
        self._fetched_at = time.monotonic()
        self._inherited.write(document)

    async def _fetch_with_retries(self) -> dict[str, Any]:
        """Fetch the document, with several attempts if no keys are cached."""
        for pause_s in () if self._keys else FIRST_FETCH_PAUSES_S:
            try:
                return await self._fetch()
            except _FETCH_ERRORS:
                await asyncio.sleep(pause_s)
        return await self._fetch()

    def _use(self, document: dict[str, Any]) -> None:
        """Replace the cached keys; raises ValueError or PyJWTError if the document is not a key set."""
        found = jwt.PyJWKSet.from_dict(document).keys
        self._keys = {key.key_id: self._reuse_known(key.key_id, key) for key in found if key.key_id}

    def _reuse_known(self, kid: str, key: jwt.PyJWK) -> jwt.PyJWK:
        """Return the cached object of an unchanged key. `TokenVerifier` compares keys by identity."""
        before = self._keys.get(kid)
        return before if before and before.key == key.key else key


_FETCH_ERRORS = (httpx.HTTPError, OSError, ValueError, jwt.PyJWTError)
"""ValueError and PyJWTError mean that the fetched document is not a key set. OSError includes TimeoutError."""


def create_jwks_cache(client: httpx.AsyncClient, url: str, *, refresh_s: float = REFRESH_S) -> JwksCache:
    """Return a cache of the keys that `client` fetches from `url`, in the background every `refresh_s` seconds."""

    async def fetch() -> dict[str, Any]:
        response = await client.get(url)
        response.raise_for_status()
        document = response.json()
        if not isinstance(document, dict):
            raise ValueError("a key set must be a JSON object")  # noqa: TRY004 - the value of a response, not an argument
        return document

    return JwksCache(fetch=fetch, refresh_s=refresh_s)
