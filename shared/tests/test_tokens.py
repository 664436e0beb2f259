"""Fetching the keys that verify tokens. What verifying accepts is tested through the services."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shared.errors import Unavailable
from shared.tokens import Jwks, jwks_from
from testkit.tokens import TokenIssuer

Answer = Callable[[httpx.Request], httpx.Response]


async def ask(answer: Answer) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        await jwks_from(client, "http://users/keys").key("any")


class TestJwks:
    @pytest.mark.parametrize(
        "response",
        [httpx.Response(503), httpx.Response(200, text="<html>"), httpx.Response(200, json={"keys": []})],
        ids=["failing", "another page", "no keys"],
    )
    async def test_an_answer_that_is_no_key_set_is_nobodys_wrong_token(self, response: httpx.Response) -> None:
        with pytest.raises(Unavailable):
            await ask(lambda _request: response)

    async def test_those_who_waited_for_a_failed_fetch_fail_with_it(self) -> None:
        fetches = 0

        async def fetch() -> dict[str, Any]:
            nonlocal fetches
            fetches += 1
            await asyncio.sleep(0)
            raise ConnectionRefusedError

        keys = Jwks(fetch=fetch)
        results = await asyncio.gather(*(keys.key("any") for _ in range(10)), return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        assert fetches == 1

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
