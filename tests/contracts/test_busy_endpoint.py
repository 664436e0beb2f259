"""Many concurrent logins at a real users service behind a real gateway do not affect other requests."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from testkit.apps import http_client
from testkit.databases import MigratedDatabase
from testkit.gunicorn import is_ready, run_gunicorn
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

USER = {"email": "ann@hopline.example", "password": "correct horse battery", "name": "Ann"}
LOGINS = 60


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A client of the gateway, and the Authorization header of a registered user."""

    client: httpx.AsyncClient
    user_headers: dict[str, str]


@asynccontextmanager
async def open_shop(folder: Path, users_database: str, redis_url: str, **users: str) -> AsyncIterator[Shop]:
    """Run a gateway and a users service in separate processes. `users` are settings of the service.

    The timeouts of the gateway are long, so that a busy machine does not look like a slow service.
    """
    common = {"REDIS_URL": redis_url, "ENVIRONMENT": "test", "LOG_LEVEL": "ERROR"}
    secrets = {"SIGNING_KEY": TokenIssuer().private_pem, "WORKERS_CLIENT_SECRET": "the-workers-secret"}
    async with open_service(folder, "users", DATABASE_URL=users_database, **common, **secrets, **users) as url:
        urls = {f"{name}_URL": url for name in ("USERS", "ORDERS", "NOTIFICATIONS")}
        keys = {"JWKS_URL": f"{url}/.well-known/jwks.json"}
        timeouts = {"UPSTREAM_SECONDS": "20", "REQUEST_SECONDS": "30"}
        async with (
            open_service(folder, "gateway", **common, **urls, **keys, **timeouts) as gateway,
            http_client(gateway) as client,
        ):
            (await client.post("/v2/users", json=USER)).raise_for_status()
            login = await client.post("/v2/tokens", data=build_login(USER["email"], USER["password"]))
            yield Shop(client=client, user_headers={"Authorization": f"Bearer {login.json()['access_token']}"})


@asynccontextmanager
async def open_service(folder: Path, name: str, **environment: str) -> AsyncIterator[str]:
    """Run a service under gunicorn, wait until it is ready, and yield its base URL."""
    own = folder / name
    own.mkdir()
    async with (
        run_gunicorn(own, f"from {name}.main import create_app\n", **environment) as (_, url),
        http_client(url) as client,
    ):
        await eventually(lambda: is_ready(client), what=f"{name} to be ready")
        yield url


def build_login(username: str, password: str = "wrong") -> dict[str, str]:  # noqa: S107
    return {"grant_type": "password", "username": username, "password": password}


async def flood_logins(shop: Shop) -> list[httpx.Response]:
    """Send many wrong logins at the same time, and return their responses.

    Fails if another call to users does not succeed during or after the logins, or if a circuit breaker is open then.
    """

    async def log_in(number: int) -> httpx.Response:
        return await shop.client.post("/v2/tokens", data=build_login(f"user-{number}@hopline.example"))

    async def read_account() -> int:
        return (await shop.client.get("/v2/users/me", headers=shop.user_headers)).status_code

    responses, accounts = await asyncio.gather(
        asyncio.gather(*(log_in(number) for number in range(LOGINS))),
        asyncio.gather(*(read_account() for _ in range(LOGINS))),
    )
    assert set(accounts) == {200}
    assert await read_account() == 200

    async def can_log_in() -> bool:
        response = await shop.client.post("/v2/tokens", data=build_login(USER["email"], USER["password"]))
        return response.status_code == 200

    await eventually(can_log_in)
    state = (await shop.client.get("/health/ready")).json()["dependencies"]["users"]
    assert (state["breaker"], state["endpoints"]["POST /tokens"]["breaker"]) == ("closed", "closed")
    return responses


def count_problems(responses: Sequence[httpx.Response]) -> Counter[str]:
    return Counter(response.json()["type"].rpartition("/")[2] for response in responses)


async def test_other_requests_succeed_when_many_clients_log_in(
    tmp_path: Path, migrated_database: MigratedDatabase, redis_url: str
) -> None:
    async with open_shop(tmp_path, await migrated_database("users"), redis_url) as shop:
        responses = await flood_logins(shop)
    assert count_problems(responses).keys() <= {"wrong-credentials", "too-many-logins"}


async def test_circuit_stays_closed_when_logins_exceed_the_capacity(
    tmp_path: Path, migrated_database: MigratedDatabase, redis_url: str
) -> None:
    async with open_shop(
        tmp_path, await migrated_database("users"), redis_url, MAX_CONCURRENT_PASSWORDS="1", MAX_WAITING_PASSWORDS="1"
    ) as shop:
        responses: list[httpx.Response] = []

        async def rejections_would_open_the_circuit() -> bool:
            """Flood again, if a busy machine sends the logins so slowly that most of them are accepted."""
            responses[:] = await flood_logins(shop)
            return count_problems(responses)["too-many-logins"] >= LOGINS / 2

        await eventually(rejections_would_open_the_circuit)
    assert count_problems(responses).keys() == {"wrong-credentials", "too-many-logins"}
    rejected = [response for response in responses if response.status_code == 503]
    assert all(int(response.headers["retry-after"]) >= 1 for response in rejected)
