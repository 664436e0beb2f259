"""The cache of the keys that verify access tokens, and the cache of verified tokens.

`shared/tests/web/test_app.py` tests which tokens are valid.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.auth import (
    Identity,
    JwksCache,
    Role,
    TokenVerifier,
    create_jwks_cache,
    get_identity,
)
from shared.auth.keys import FIRST_FETCH_PAUSES_S, REFRESH_S
from shared.auth.tokens import CLOCK_SKEW_S
from shared.config import TokenSettings
from shared.context import RequestContext, set_context
from shared.errors.problems import UnauthorizedError, UnavailableError
from shared.http.client import open_http_client
from testkit.apps import serve
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

CALLER = "0198b7f0-0000-7000-8000-000000000001"

Handler = Callable[[httpx.Request], httpx.Response]


async def fetch_key(respond: Handler) -> None:
    """Look up a key in an empty cache, which fetches the key set from `respond`."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
        await create_jwks_cache(client, "http://users/keys").key("any")


class FakeJwksServer:
    """A server that publishes the key of `issuer`. The next `failures` responses are 503."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self.issuer = issuer
        self.failures = 0
        self.requests = 0
        self.app = Starlette(routes=[Route("/keys", self._keys)])

    async def _keys(self, _request: Request) -> Response:
        self.requests += 1
        if self.failures:
            self.failures -= 1
            return Response(status_code=503)
        return JSONResponse(self.issuer.jwks)


@asynccontextmanager
async def run_jwks_server(
    issuer: TokenIssuer, *, refresh_s: float = REFRESH_S
) -> AsyncIterator[tuple[FakeJwksServer, JwksCache]]:
    """Run the server, and yield it with a cache that fetches from it. The background refresh has not begun."""
    server = FakeJwksServer(issuer)
    async with serve(server.app) as url, open_http_client(to="users") as client:
        yield server, create_jwks_cache(client, f"{url}/keys", refresh_s=refresh_s)


class TestJwks:
    @pytest.mark.parametrize(
        "response",
        [
            httpx.Response(503),
            httpx.Response(200, text="<html>"),
            httpx.Response(200, json=[]),
            httpx.Response(200, json={"keys": []}),
        ],
        ids=["error", "HTML", "not a key set", "empty"],
    )
    async def test_lookup_fails_when_the_response_is_not_a_key_set(self, response: httpx.Response) -> None:
        with pytest.raises(UnavailableError):
            await fetch_key(lambda _request: response)

    async def test_concurrent_lookups_share_the_attempts_of_one_fetch_when_it_fails(self) -> None:
        fetches = 0

        async def fetch() -> dict[str, Any]:
            nonlocal fetches
            fetches += 1
            raise ConnectionRefusedError

        keys = JwksCache(fetch=fetch)
        results = await asyncio.gather(*(keys.key("any") for _ in range(10)), return_exceptions=True)
        assert {type(result) for result in results} == {UnavailableError}
        assert fetches == 1 + len(FIRST_FETCH_PAUSES_S)

    async def test_first_fetch_is_repeated_when_it_fails(self, token_issuer: TokenIssuer) -> None:
        async with run_jwks_server(token_issuer) as (server, keys):
            server.failures = 1
            assert (await keys.key(token_issuer.key_id)).key_id == token_issuer.key_id
            assert server.requests == 2

    async def test_keys_are_fetched_in_the_background_before_the_first_lookup(self, token_issuer: TokenIssuer) -> None:
        attempts_of_one_fetch = 1 + len(FIRST_FETCH_PAUSES_S)
        failures = attempts_of_one_fetch + 2  # the first fetch fails, so the background loop starts again
        async with run_jwks_server(token_issuer) as (server, keys):
            server.failures = failures
            async with keys:
                await eventually(lambda: server.requests == failures + 1)
                assert (await keys.key(token_issuer.key_id)).key_id == token_issuer.key_id
            assert server.requests == failures + 1, "the lookup must not cause a request"

    async def test_refresh_removes_withdrawn_keys_but_keeps_all_keys_when_it_fails(
        self, token_issuer: TokenIssuer
    ) -> None:
        successor = TokenIssuer()
        async with run_jwks_server(token_issuer, refresh_s=0.01) as (server, keys), keys:
            await eventually(lambda: server.requests > 1)
            server.failures = 3
            await eventually(lambda: server.failures == 0)
            assert await keys.key(token_issuer.key_id)
            server.issuer = successor

            async def is_removed() -> bool:
                try:
                    await keys.key(token_issuer.key_id)
                except KeyError:
                    return True
                return False

            await eventually(is_removed)
            assert await keys.key(successor.key_id)

    async def test_keys_are_fetched_once_when_an_unknown_key_id_is_repeated(self, token_issuer: TokenIssuer) -> None:
        fetches = 0

        async def fetch() -> dict[str, Any]:
            nonlocal fetches
            fetches += 1
            return token_issuer.jwks

        keys = JwksCache(fetch=fetch)
        for _ in range(3):
            with pytest.raises(KeyError):
                await keys.key("forged")
        assert fetches == 1

    async def test_unchanged_key_stays_the_same_object_when_the_keys_are_fetched_again(
        self, token_issuer: TokenIssuer
    ) -> None:
        """A verified token stays cached only while its key is the same object."""
        before, after = await fetch_key_twice(token_issuer, token_issuer)
        assert after is before

    async def test_changed_key_is_another_object_when_the_keys_are_fetched_again(
        self, token_issuer: TokenIssuer
    ) -> None:
        before, after = await fetch_key_twice(token_issuer, TokenIssuer(key_id=token_issuer.key_id))
        assert after is not before


async def fetch_key_twice(first: TokenIssuer, second: TokenIssuer) -> tuple[jwt.PyJWK, jwt.PyJWK]:
    """Return the cached key of both issuers, which have one key id, before and after a second fetch."""
    published = [first, second]

    async def fetch() -> dict[str, Any]:
        return published.pop(0).jwks

    keys = JwksCache(fetch=fetch, refetch_pause_s=0)
    before = await keys.key(first.key_id)
    with pytest.raises(KeyError):
        await keys.key("forged")
    assert not published, "the unknown key id must cause the second fetch"
    return before, await keys.key(first.key_id)


class FakeKeySource:
    """The keys of `issuers`, until the keys of others are published. `lookups` is the number of calls of `key`."""

    def __init__(self, *issuers: TokenIssuer) -> None:
        self.lookups = 0
        self.publish(*issuers)

    def publish(self, *issuers: TokenIssuer) -> None:
        self._keys = {issuer.key_id: jwt.PyJWK(issuer.jwks["keys"][0]) for issuer in issuers}

    async def key(self, kid: str) -> jwt.PyJWK:
        self.lookups += 1
        return self._keys[kid]


async def test_token_is_verified_once_per_request() -> None:
    class CountingVerifier:
        calls = 0

        async def verify(self, _token: str) -> Identity:
            self.calls += 1
            return Identity(user_id=UUID(CALLER), role=Role.CUSTOMER)

    app = FastAPI()
    verifier = app.state.token_verifier = CountingVerifier()
    requests = [{"app": app, "headers": [(b"authorization", b"Bearer x")]} for _ in range(2)]
    for request in requests:
        set_context(RequestContext())
        assert await get_identity(request) == await get_identity(request)
    assert verifier.calls == len(requests)


async def test_invalid_token_is_verified_once_per_request(token_issuer: TokenIssuer) -> None:
    keys = FakeKeySource(token_issuer)
    app = FastAPI()
    app.state.token_verifier = TokenVerifier(keys=keys, settings=TokenSettings())
    forged = TokenIssuer(key_id=token_issuer.key_id).issue(CALLER)
    request = {"app": app, "headers": [(b"authorization", f"Bearer {forged}".encode())]}
    set_context(RequestContext())
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            await get_identity(request)
    assert keys.lookups == 1


MAX_CACHED = 2


class TestVerifiedTokens:
    @pytest.fixture
    def issuer(self) -> TokenIssuer:
        return TokenIssuer(key_id="current")

    @pytest.fixture
    def keys(self, issuer: TokenIssuer) -> FakeKeySource:
        return FakeKeySource(issuer)

    @pytest.fixture
    def verifier(self, keys: FakeKeySource) -> TokenVerifier:
        return TokenVerifier(keys=keys, settings=TokenSettings(), max_cached=MAX_CACHED)

    async def test_identity_is_the_cached_object_when_the_token_is_repeated(
        self, issuer: TokenIssuer, verifier: TokenVerifier
    ) -> None:
        token = issuer.issue(CALLER)
        first, *others = [await verifier.verify(token) for _ in range(3)]
        assert str(first.user_id) == CALLER
        assert all(other is first for other in others)

    async def test_token_is_rejected_when_it_has_expired_in_the_cache(
        self, issuer: TokenIssuer, verifier: TokenVerifier
    ) -> None:
        accepted_s = 2
        token = issuer.issue(CALLER, lifetime=accepted_s - CLOCK_SKEW_S)

        async def is_rejected() -> bool:
            try:
                await verifier.verify(token)
            except UnauthorizedError:
                return True
            return False

        assert not await is_rejected()
        await eventually(is_rejected, what="the cached token to expire")

    async def test_token_is_rejected_when_its_key_was_replaced_or_withdrawn(
        self, issuer: TokenIssuer, keys: FakeKeySource, verifier: TokenVerifier
    ) -> None:
        token = issuer.issue(CALLER)
        await verifier.verify(token)
        keys.publish(TokenIssuer(key_id=issuer.key_id))
        with pytest.raises(UnauthorizedError):
            await verifier.verify(token)
        keys.publish()
        with pytest.raises(UnauthorizedError):
            await verifier.verify(token)

    async def test_oldest_token_is_evicted_when_the_cache_is_full(
        self, issuer: TokenIssuer, verifier: TokenVerifier
    ) -> None:
        oldest, *others = [issuer.issue(CALLER) for _ in range(MAX_CACHED + 1)]
        identities = {token: await verifier.verify(token) for token in (oldest, *others)}
        for token in others:
            assert await verifier.verify(token) is identities[token]
        assert await verifier.verify(oldest) is not identities[oldest]
