"""The whole shop in a separate thread, because schemathesis sends its requests synchronously."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

import gateway.main
import gateway.settings
import notifications.main
import notifications.settings
import orders.main
import orders.settings
import users.main
import users.settings
from testkit.apps import http_client, serve
from testkit.databases import alembic_ini, create_database, drop_database, migrate, with_path
from testkit.tokens import TokenIssuer
from users.keys import public_jwk

ROOT = Path(__file__).parents[2]
ADMIN = {"email": "ann@hopline.example", "password": "correct horse battery", "name": "Ann"}

FIRST_REDIS_DATABASE = 8
"""On a server that several pytest processes share, other tests use the Redis databases from 0 (`testkit.databases`)."""


@dataclass(frozen=True, kw_only=True)
class RunningShop:
    """The URLs of the processes by name, and Authorization headers of an admin and of a service."""

    urls: dict[str, str]
    admin_headers: dict[str, str]
    service_headers: dict[str, str]


@pytest.fixture(scope="module")  # a shop of the session would add its metrics and log records to those of other tests
def running_shop(
    postgres_url: str, valkey_url: str, worker_number: int, database_templates: dict[str, str]
) -> Iterator[RunningShop]:
    """Run the shop in a thread until the end of the module."""
    # Other tests must not use this Redis database, because the relays of the shop append to its streams.
    redis_url = with_path(valkey_url, str(FIRST_REDIS_DATABASE + worker_number))
    started: Future[RunningShop] = Future()
    stopping: Future[asyncio.Event] = Future()

    async def run_until_stopped() -> None:
        stop = asyncio.Event()
        try:
            async with _open_shop(postgres_url, redis_url, database_templates) as shop:
                stopping.set_result(stop)
                started.set_result(shop)
                await stop.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(run_until_stopped(),), daemon=True)
    thread.start()
    yield started.result(timeout=120)
    loop.call_soon_threadsafe(stopping.result().set)
    thread.join(timeout=60)
    loop.close()


@asynccontextmanager
async def _open_shop(postgres_url: str, redis_url: str, templates: dict[str, str]) -> AsyncIterator[RunningShop]:
    issuer = TokenIssuer()
    issuer.key_id = public_jwk(issuer.private_key)["kid"]
    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {}

        async def start(name: str, app: Any) -> None:
            urls[name] = await stack.enter_async_context(serve(app))

        async def create_database_settings(service: str) -> dict[str, Any]:
            """Create a migrated database, and return its URL with the common settings."""
            if service not in templates:
                templates[service] = await create_database(postgres_url)
                await asyncio.to_thread(migrate, alembic_ini(ROOT, service), templates[service])
            url = await create_database(postgres_url, template=templates[service])
            stack.push_async_callback(drop_database, postgres_url, url)
            return {"database_url": url, **common}

        common = {"redis_url": redis_url, "environment": "test", "log_level": "ERROR", "drain_seconds": 0}
        secrets = {"signing_key": issuer.private_pem, "workers_client_secret": "the-workers-secret"}
        user_settings = users.settings.Settings.model_validate({**await create_database_settings("users"), **secrets})
        await start("users", users.main.create_app(user_settings))
        common["jwks_url"] = f"{urls['users']}/.well-known/jwks.json"
        order_settings = orders.settings.Settings.model_validate(await create_database_settings("orders"))
        await start("orders", orders.main.create_app(order_settings))
        notification_settings = notifications.settings.Settings.model_validate(
            await create_database_settings("notifications")
        )
        await start("notifications", notifications.main.create_app(notification_settings))
        upstreams = {f"{name}_url": url for name, url in urls.items()}
        timeouts = {"upstream_seconds": 20, "request_seconds": 30, "dashboard_seconds": 20}
        relaxed_limits = {**timeouts, "rate_limit_credentials_name": 10_000, "rate_limit_timeout_seconds": 10}
        gateway_settings = gateway.settings.Settings.model_validate({**common, **upstreams, **relaxed_limits})
        await start("gateway", gateway.main.create_app(gateway_settings))
        async with http_client(urls["users"]) as client:
            admin_id = await _register_admin(client)
        yield RunningShop(
            urls=urls,
            admin_headers=issuer.headers(admin_id, role="admin", lifetime=3600),
            service_headers=issuer.headers(admin_id, role="service", lifetime=3600),
        )


async def _register_admin(client: httpx.AsyncClient) -> UUID:
    response = await client.post("/users", json=ADMIN)
    response.raise_for_status()
    return UUID(response.json()["id"])
