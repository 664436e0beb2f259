"""Fetching the keys that verify tokens, and remembering what was verified.

What verifying accepts is tested through the services.
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

from shared.errors import Unauthorized, Unavailable
from shared.http import open_http_client
from shared.settings import TokenSettings
from shared.tokens import FIRST_FETCH_PAUSES_S, Identity, Jwks, Role, TokenVerifier, identity_of, jwks_from
from testkit.apps import serve
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

CALLER = "0198b7f0-0000-7000-8000-000000000001"

Answer = Callable[[httpx.Request], httpx.Response]


async def ask(answer: Answer) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        await jwks_from(client, "http://users/keys").key("any")


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
async def published_keys(issuer: TokenIssuer) -> AsyncIterator[tuple[Publisher, Jwks]]:
    publisher = Publisher(issuer)
    async with serve(publisher.app) as url, open_http_client(to="users") as client:
        yield publisher, jwks_from(client, f"{url}/keys")


class TestJwks:
    @pytest.mark.parametrize(
        "response",
        [
            httpx.Response(503),
            httpx.Response(200, text="<html>"),
            httpx.Response(200, json=[]),
            httpx.Response(200, json={"keys": []}),
        ],
        ids=["failing", "another page", "no set", "no keys"],
    )
    async def test_an_answer_that_is_no_key_set_is_nobodys_wrong_token(self, response: httpx.Response) -> None:
        with pytest.raises(Unavailable):
            await ask(lambda _request: response)

    async def test_those_who_waited_for_a_failed_fetch_fail_with_it(self) -> None:
        fetches = 0

        async def fetch() -> dict[str, Any]:
            nonlocal fetches
            fetches += 1
            raise ConnectionRefusedError

        keys = Jwks(fetch=fetch)
        results = await asyncio.gather(*(keys.key("any") for _ in range(10)), return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        assert fetches == 1 + len(FIRST_FETCH_PAUSES_S)

    async def test_the_first_fetch_is_tried_again(self, token_issuer: TokenIssuer) -> None:
        async with published_keys(token_issuer) as (publisher, keys):
            publisher.failures = 1
            assert (await keys.key(token_issuer.key_id)).key_id == token_issuer.key_id
            assert publisher.requests == 2

    async def test_keys_are_known_before_the_first_request(self, token_issuer: TokenIssuer) -> None:
        async with published_keys(token_issuer) as (publisher, keys):
            publisher.failures = 5
            async with keys:
                await eventually(lambda: publisher.requests == 6)
                assert (await keys.key(token_issuer.key_id)).key_id == token_issuer.key_id
            assert publisher.requests == 6

    async def test_a_refresh_drops_what_is_no_longer_published_and_nothing_while_it_fails(
        self, token_issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.tokens.REFRESH_S", 0.01)
        successor = TokenIssuer()
        async with published_keys(token_issuer) as (publisher, keys), keys:
            await eventually(lambda: publisher.requests > 1)
            publisher.failures = 3
            await eventually(lambda: publisher.failures == 0)
            await keys.key(token_issuer.key_id)
            publisher.issuer = successor

            async def dropped() -> bool:
                try:
                    await keys.key(token_issuer.key_id)
                except KeyError:
                    return True
                return False

            await eventually(dropped)
            await keys.key(successor.key_id)

    async def test_an_unknown_id_fetches_once(self, token_issuer: TokenIssuer) -> None:
        fetches = 0

        async def fetch() -> dict[str, Any]:
            nonlocal fetches
            fetches += 1
            return token_issuer.jwks

        keys = Jwks(fetch=fetch)
        for _ in range(3):
            with pytest.raises(KeyError):
                await keys.key("forged")
        assert fetches == 1

    async def test_a_forged_id_makes_nobody_elses_token_be_checked_again(
        self, token_issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Tokens are remembered with the key that verified them."""
        monkeypatch.setattr("shared.tokens.REFETCH_PAUSE_S", -1)
        published = [token_issuer, token_issuer, TokenIssuer(key_id=token_issuer.key_id)]

        async def fetch() -> dict[str, Any]:
            return published.pop(0).jwks

        keys = Jwks(fetch=fetch)
        first = await keys.key(token_issuer.key_id)
        for same in (True, False):
            with pytest.raises(KeyError):
                await keys.key("forged")
            assert (await keys.key(token_issuer.key_id) is first) is same
        assert not published


class Counting(OKPAlgorithm):
    """Counts the signatures it checks."""

    def __init__(self) -> None:
        super().__init__()
        self.checked = 0

    def verify(self, msg: str | bytes, key: Any, sig: str | bytes) -> bool:
        self.checked += 1
        return super().verify(msg, key, sig)


class Published:
    """Keys as they are published at the moment."""

    def __init__(self, *issuers: TokenIssuer) -> None:
        self.signatures = Counting()
        self.keys: dict[str, jwt.PyJWK] = {}
        self.publish(*issuers)

    def publish(self, *issuers: TokenIssuer) -> None:
        self.keys = {issuer.key_id: jwt.PyJWK(issuer.jwks["keys"][0]) for issuer in issuers}
        for key in self.keys.values():
            key.Algorithm = self.signatures

    async def key(self, kid: str) -> jwt.PyJWK:
        return self.keys[kid]


async def test_a_request_is_verified_once_whoever_asks_whose_it_is() -> None:
    class Verifier:
        verified = 0

        async def verify(self, _token: str) -> Identity:
            self.verified += 1
            return Identity(user_id=UUID(CALLER), role=Role.CUSTOMER)

    app = FastAPI()
    verifier = app.state.token_verifier = Verifier()
    requests = [{"app": app, "headers": [(b"authorization", b"Bearer x")]} for _ in range(2)]
    for request in requests:
        assert await identity_of(request) == await identity_of(request)
    assert verifier.verified == len(requests)


async def test_a_request_is_refused_once_whoever_asks_whose_it_is(token_issuer: TokenIssuer) -> None:
    published = Published(token_issuer)
    app = FastAPI()
    app.state.token_verifier = TokenVerifier(keys=published, settings=TokenSettings())
    forged = TokenIssuer(key_id=token_issuer.key_id).issue(CALLER)
    request = {"app": app, "headers": [(b"authorization", f"Bearer {forged}".encode())]}
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await identity_of(request)
    assert published.signatures.checked == 1


class TestRememberedTokens:
    @pytest.fixture
    def issuer(self) -> TokenIssuer:
        return TokenIssuer(key_id="of today")

    @pytest.fixture
    def published(self, issuer: TokenIssuer) -> Published:
        return Published(issuer)

    @pytest.fixture
    def verifier(self, published: Published) -> TokenVerifier:
        return TokenVerifier(keys=published, settings=TokenSettings(), remembered=2)

    async def test_a_signature_is_checked_once(
        self, issuer: TokenIssuer, published: Published, verifier: TokenVerifier
    ) -> None:
        token = issuer.issue(CALLER)
        identities = [await verifier.verify(token) for _ in range(3)]
        assert {str(identity.user_id) for identity in identities} == {CALLER}
        assert published.signatures.checked == 1

    async def test_until_the_token_expires(self, issuer: TokenIssuer, verifier: TokenVerifier) -> None:
        token = issuer.issue(CALLER, lifetime=-3)  # two seconds of what clocks may differ are left

        async def refused() -> bool:
            try:
                await verifier.verify(token)
            except Unauthorized:
                return True
            return False

        assert not await refused()
        await eventually(refused, what="the remembered token to expire")

    async def test_until_its_key_is_another_or_none(
        self, issuer: TokenIssuer, published: Published, verifier: TokenVerifier
    ) -> None:
        token = issuer.issue(CALLER)
        await verifier.verify(token)
        published.publish(TokenIssuer(key_id=issuer.key_id))
        with pytest.raises(Unauthorized):
            await verifier.verify(token)
        published.publish()
        with pytest.raises(Unauthorized):
            await verifier.verify(token)

    async def test_the_oldest_is_forgotten_for_a_new_one(
        self, issuer: TokenIssuer, published: Published, verifier: TokenVerifier
    ) -> None:
        first, *others = (issuer.issue(CALLER) for _ in range(3))
        for token in (first, *others, *others, first):
            await verifier.verify(token)
        assert published.signatures.checked == 4
