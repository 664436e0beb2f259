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


class ExecuteSql(Protocol):
    async def __call__(self, statement: str, *parameters: object) -> list[asyncpg.Record]: ...


class MakeApp(Protocol):
    def __call__(self, **settings: Any) -> FastAPI: ...


class RunService(Protocol):
    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


@pytest.fixture
async def users_database(migrated_database: MigratedDatabase) -> str:
    return await migrated_database("users")


@pytest.fixture
def issuer() -> TokenIssuer:
    """Return an issuer with the signing key of the service, for tokens with claims that the service never issues."""
    issuer = TokenIssuer()
    issuer.key_id = public_jwk(issuer.private_key)["kid"]
    return issuer


@pytest.fixture
def make_app(users_database: str, redis_url: str, issuer: TokenIssuer) -> MakeApp:
    """Return a function that creates the application. Its arguments replace the default settings of the tests."""

    def make(**settings: Any) -> FastAPI:
        defaults: dict[str, Any] = {
            "database_url": users_database,
            "redis_url": redis_url,
            "signing_key": issuer.private_pem,
            "workers_client_secret": WORKERS_SECRET,
            "environment": "test",
            "log_format": "json",
            "password_timeout_seconds": 30,  # a hash can take seconds on a loaded machine
        }
        return create_app(Settings(**defaults | settings))

    return make


@pytest.fixture
def run_service(make_app: MakeApp) -> RunService:
    """Return a function that runs the service within a block. Each call starts another replica."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with serve(make_app(**settings)) as base_url, http_client(base_url) as client:
            yield client

    return run


@pytest.fixture
async def users(run_service: RunService) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service with the default settings, and return a client of it."""
    async with run_service() as client:
        yield client


@pytest.fixture
def execute_sql(users_database: str) -> ExecuteSql:
    """Return a function that executes a statement in the service's database and returns its rows."""

    async def execute(statement: str, *parameters: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(users_database)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *parameters)
            return rows
        finally:
            await connection.close()

    return execute
