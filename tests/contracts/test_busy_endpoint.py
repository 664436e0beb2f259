"""One endpoint with more calls than it can serve, on a real users service behind a real gateway."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

import gateway.main
import gateway.settings
import users.main
import users.settings
from testkit.apps import http_client, serve
from testkit.databases import MigratedDatabase
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually
from users.keys import public_jwk

ANN = {"email": "ann@hopline.example", "password": "correct horse battery", "name": "Ann"}
LOGINS = 60


@dataclass(frozen=True, kw_only=True)
class Shop:
    client: httpx.AsyncClient
    ann: dict[str, str]


@asynccontextmanager
async def open_shop(users_database: str, redis_url: str, **user_settings: Any) -> AsyncIterator[Shop]:
    """A gateway before a users service that hashes one password at a time."""
    issuer = TokenIssuer()
    issuer.key_id = public_jwk(issuer.private_key)["kid"]
    common = {"redis_url": redis_url, "environment": "test", "log_level": "ERROR", "drain_seconds": 0}
    secrets = {"signing_key": issuer.private_pem, "workers_client_secret": "the-workers-secret"}
    users_only = {**secrets, "database_url": users_database, "passwords_at_once": 1, **user_settings}
    settings = users.settings.Settings.model_validate({**common, **users_only})
    async with serve(users.main.create_app(settings)) as url:
        urls = {f"{name}_url": url for name in ("users", "orders", "notifications")}
        keys = {"jwks_url": f"{url}/.well-known/jwks.json"}
        door = gateway.settings.Settings.model_validate({**common, **urls, **keys, "rate_limit_patience_seconds": 10})
        async with serve(gateway.main.create_app(door)) as gateway_url, http_client(gateway_url) as client:
            (await client.post("/v2/users", json=ANN)).raise_for_status()
            token = await client.post("/v2/tokens", data=login(ANN["email"], ANN["password"]))
            yield Shop(client=client, ann={"Authorization": f"Bearer {token.json()['access_token']}"})


def login(username: str, password: str = "wrong") -> dict[str, str]:  # noqa: S107
    return {"grant_type": "password", "username": username, "password": password}


async def log_in_at_once(shop: Shop) -> list[httpx.Response]:
    """Make so many wrong logins at once, and check that other calls to users are served meanwhile and afterwards."""

    async def log_in(number: int) -> httpx.Response:
        return await shop.client.post("/v2/tokens", data=login(f"user-{number}@hopline.example"))

    async def read_account() -> int:
        return (await shop.client.get("/v2/users/me", headers=shop.ann)).status_code

    responses, accounts = await asyncio.gather(
        asyncio.gather(*(log_in(number) for number in range(LOGINS))),
        asyncio.gather(*(read_account() for _ in range(LOGINS))),
    )
    assert set(accounts) == {200}
    assert await read_account() == 200

    async def logged_in() -> bool:
        response = await shop.client.post("/v2/tokens", data=login(ANN["email"], ANN["password"]))
        return response.status_code == 200

    await eventually(logged_in)
    state = (await shop.client.get("/health/ready")).json()["dependencies"]["users"]
    assert (state["breaker"], state["endpoints"]["POST /tokens"]["breaker"]) == ("closed", "closed")
    return responses


def problems(responses: Sequence[httpx.Response]) -> Counter[str]:
    return Counter(response.json()["type"].rpartition("/")[2] for response in responses)


async def test_sixty_logins_at_once_affect_nobody_else(migrated_database: MigratedDatabase, redis_url: str) -> None:
    async with open_shop(await migrated_database("users"), redis_url) as shop:
        responses = await log_in_at_once(shop)
    assert not problems(responses).keys() & {"circuit-open", "upstream-busy"}


async def test_logins_beyond_what_users_can_serve_are_rejected_and_open_no_circuit(
    migrated_database: MigratedDatabase, redis_url: str
) -> None:
    async with open_shop(await migrated_database("users"), redis_url, password_timeout_seconds=0.2) as shop:
        responses = await log_in_at_once(shop)
    assert problems(responses).keys() == {"wrong-credentials", "too-many-logins"}
    rejected = [response for response in responses if response.status_code == 503]
    assert len(rejected) >= LOGINS / 2, "as many as open a circuit"
    assert all(int(response.headers["retry-after"]) >= 1 for response in rejected)
