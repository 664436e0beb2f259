from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from testkit.apps import http_client, serve
from testkit.databases import MigratedDatabase
from testkit.tokens import TokenIssuer
from users.keys import public_jwk
from users.main import create_app
from users.settings import Settings

WORKERS_SECRET = "the-workers-secret"


class FetchRows(Protocol):
    async def __call__(self, statement: str, *parameters: object) -> list[asyncpg.Record]: ...


class MakeApp(Protocol):
    def __call__(self, **settings: Any) -> FastAPI: ...


class Service(Protocol):
    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


@pytest.fixture
async def users_database(migrated_database: MigratedDatabase) -> str:
    return await migrated_database("users")


@pytest.fixture
def issuer() -> TokenIssuer:
    """Return an issuer with the service's key, for tokens that differ from the service's in one claim."""
    issuer = TokenIssuer()
    issuer.key_id = public_jwk(issuer.private_key)["kid"]
    return issuer


@pytest.fixture
def make_app(users_database: str, redis_url: str, issuer: TokenIssuer) -> MakeApp:
    """Create the application with these settings."""

    def make(**settings: Any) -> FastAPI:
        given: dict[str, Any] = {
            "database_url": users_database,
            "redis_url": redis_url,
            "signing_key": issuer.private_pem,
            "workers_client_secret": WORKERS_SECRET,
            "environment": "test",
            "log_format": "json",
            "password_timeout_seconds": 30,  # a loaded machine takes many times longer for a hash
        }
        return create_app(Settings(**given | settings))

    return make


@pytest.fixture
def service(make_app: MakeApp) -> Service:
    """Run the service with these settings. Several can run at the same time, as replicas."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with serve(make_app(**settings)) as base_url, http_client(base_url) as client:
            yield client

    return run


@pytest.fixture
async def users(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service() as client:
        yield client


@pytest.fixture
def rows(users_database: str) -> FetchRows:
    """Run a statement in the service's database and return its rows."""

    async def execute(statement: str, *parameters: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(users_database)
        try:
            found: list[asyncpg.Record] = await connection.fetch(statement, *parameters)
            return found
        finally:
            await connection.close()

    return execute
