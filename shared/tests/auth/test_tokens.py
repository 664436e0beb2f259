"""The cache of the keys that verify access tokens, and the cache of verified tokens.

The tests of the services cover which tokens are valid.
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
from jwt.algorithms import OKPAlgorithm
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
from shared.auth.keys import FIRST_FETCH_PAUSES_S
from shared.config import TokenSettings
from shared.context import RequestContext, set_context
from shared.errors.problems import UnauthorizedError, UnavailableError
from shared.http.client import open_http_client
from testkit.apps import serve
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

CALLER = "0198b7f0-0000-7000-8000-000000000001"

Handler = Callable[[httpx.Request], httpx.Response]


async def fetch_key(response: Handler) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(response)) as client:
        await create_jwks_cache(client, "http://users/keys").key("any")


class Publisher:
    """Publishes the key of `issuer`, after some `failures`."""

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
async def run_publisher(issuer: TokenIssuer) -> AsyncIterator[tuple[Publisher, JwksCache]]:
    publisher = Publisher(issuer)
    async with serve(publisher.app) as url, open_http_client(to="users") as client:
        yield publisher, create_jwks_cache(client, f"{url}/keys")


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
    async def test_keys_are_unavailable_when_the_key_set_is_invalid(self, response: httpx.Response) -> None:
        with pytest.raises(UnavailableError):
            await fetch_key(lambda _request: response)

    async def test_concurrent_waiters_fail_when_the_fetch_fails(self) -> None:
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
        async with run_publisher(token_issuer) as (publisher, keys):
            publisher.failures = 1
            assert (await keys.key(token_issuer.key_id)).key_id == token_issuer.key_id
            assert publisher.requests == 2

    async def test_keys_are_fetched_before_the_first_request(self, token_issuer: TokenIssuer) -> None:
        async with run_publisher(token_issuer) as (publisher, keys):
            publisher.failures = 5
            async with keys:
                await eventually(lambda: publisher.requests == 6)
                assert (await keys.key(token_issuer.key_id)).key_id == token_issuer.key_id
            assert publisher.requests == 6

    async def test_refresh_removes_withdrawn_keys_except_when_it_fails(
        self, token_issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.auth.keys.REFRESH_S", 0.01)
        successor = TokenIssuer()
        async with run_publisher(token_issuer) as (publisher, keys), keys:
            await eventually(lambda: publisher.requests > 1)
            publisher.failures = 3
            await eventually(lambda: publisher.failures == 0)
            await keys.key(token_issuer.key_id)
            publisher.issuer = successor

            async def is_removed() -> bool:
                try:
                    await keys.key(token_issuer.key_id)
                except KeyError:
                    return True
                return False

            await eventually(is_removed)
            await keys.key(successor.key_id)

    async def test_keys_are_fetched_once_when_a_key_id_is_unknown(self, token_issuer: TokenIssuer) -> None:
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

    async def test_cached_keys_stay_the_same_objects_when_a_key_id_is_forged(
        self, token_issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A verified token stays cached only as long as its key is the same object."""
        monkeypatch.setattr("shared.auth.keys.REFETCH_PAUSE_S", -1)
        published = [token_issuer, token_issuer, TokenIssuer(key_id=token_issuer.key_id)]

        async def fetch() -> dict[str, Any]:
            return published.pop(0).jwks

        keys = JwksCache(fetch=fetch)
        first = await keys.key(token_issuer.key_id)
        for same in (True, False):
            with pytest.raises(KeyError):
                await keys.key("forged")
            assert (await keys.key(token_issuer.key_id) is first) is same
        assert not published


class CountingAlgorithm(OKPAlgorithm):
    """Counts the signatures that it verifies."""

    def __init__(self) -> None:
        super().__init__()
        self.checked = 0

    def verify(self, msg: str | bytes, key: Any, sig: str | bytes) -> bool:
        self.checked += 1
        return super().verify(msg, key, sig)


class PublishedKeys:
    """The keys that are currently published."""

    def __init__(self, *issuers: TokenIssuer) -> None:
        self.signatures = CountingAlgorithm()
        self.keys: dict[str, jwt.PyJWK] = {}
        self.publish(*issuers)

    def publish(self, *issuers: TokenIssuer) -> None:
        self.keys = {issuer.key_id: jwt.PyJWK(issuer.jwks["keys"][0]) for issuer in issuers}
        for key in self.keys.values():
            key.Algorithm = self.signatures

    async def key(self, kid: str) -> jwt.PyJWK:
        return self.keys[kid]


async def test_token_is_verified_once_per_request() -> None:
    class Verifier:
        verified = 0

        async def verify(self, _token: str) -> Identity:
            self.verified += 1
            return Identity(user_id=UUID(CALLER), role=Role.CUSTOMER)

    app = FastAPI()
    verifier = app.state.token_verifier = Verifier()
    requests = [{"app": app, "headers": [(b"authorization", b"Bearer x")]} for _ in range(2)]
    for request in requests:
        set_context(RequestContext())
        assert await get_identity(request) == await get_identity(request)
    assert verifier.verified == len(requests)


async def test_invalid_token_is_verified_once_per_request(token_issuer: TokenIssuer) -> None:
    published = PublishedKeys(token_issuer)
    app = FastAPI()
    app.state.token_verifier = TokenVerifier(keys=published, settings=TokenSettings())
    forged = TokenIssuer(key_id=token_issuer.key_id).issue(CALLER)
    request = {"app": app, "headers": [(b"authorization", f"Bearer {forged}".encode())]}
    set_context(RequestContext())
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            await get_identity(request)
    assert published.signatures.checked == 1


class TestVerifiedTokens:
    @pytest.fixture
    def issuer(self) -> TokenIssuer:
        return TokenIssuer(key_id="current")

    @pytest.fixture
    def published(self, issuer: TokenIssuer) -> PublishedKeys:
        return PublishedKeys(issuer)

    @pytest.fixture
    def verifier(self, published: PublishedKeys) -> TokenVerifier:
        return TokenVerifier(keys=published, settings=TokenSettings(), max_cached=2)

    async def test_signature_is_verified_once_when_the_token_is_repeated(
        self, issuer: TokenIssuer, published: PublishedKeys, verifier: TokenVerifier
    ) -> None:
        token = issuer.issue(CALLER)
        identities = [await verifier.verify(token) for _ in range(3)]
        assert {str(identity.user_id) for identity in identities} == {CALLER}
        assert published.signatures.checked == 1

    async def test_token_is_rejected_when_it_has_expired_in_the_cache(
        self, issuer: TokenIssuer, verifier: TokenVerifier
    ) -> None:
        token = issuer.issue(CALLER, lifetime=-3)  # expires in the cache: CLOCK_SKEW_S accepts two more seconds

        async def is_rejected() -> bool:
            try:
                await verifier.verify(token)
            except UnauthorizedError:
                return True
            return False

        assert not await is_rejected()
        await eventually(is_rejected, what="the cached token to expire")

    async def test_token_is_rejected_when_its_key_was_replaced_or_withdrawn(
        self, issuer: TokenIssuer, published: PublishedKeys, verifier: TokenVerifier
    ) -> None:
        token = issuer.issue(CALLER)
        await verifier.verify(token)
        published.publish(TokenIssuer(key_id=issuer.key_id))
        with pytest.raises(UnauthorizedError):
            await verifier.verify(token)
        published.publish()
        with pytest.raises(UnauthorizedError):
            await verifier.verify(token)

    async def test_oldest_token_is_evicted_when_the_cache_is_full(
        self, issuer: TokenIssuer, published: PublishedKeys, verifier: TokenVerifier
    ) -> None:
        first, *others = (issuer.issue(CALLER) for _ in range(3))
        for token in (first, *others, *others, first):
            await verifier.verify(token)
        assert published.signatures.checked == 4
