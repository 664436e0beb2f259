"""A separate PostgreSQL database and Redis database for each test.

If `DATABASE_URL` or `REDIS_URL` is set (hosted CI), the tests use those servers. Otherwise this pytest process starts
servers. With pytest-xdist each worker is such a process. Databases have unique names, and each worker uses the Redis
database with its number. Pub/sub channels are common to all databases of a server, so tests that use the same channel
are in one group of pytest-xdist.
"""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from testkit.servers import PostgresServer, ValkeyServer

MigratedDatabase = Callable[[str], Awaitable[str]]
"""`await migrated_database("orders")` returns the URL of a new database with the schema of that service."""


@pytest.fixture(scope="session")
def postgres_url(server_root: Path) -> Iterator[str]:
    """Return the URL of a server's maintenance database, with a role that may create databases."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    server = PostgresServer(server_root, durable=False)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def valkey_url(server_root: Path, worker_number: int) -> Iterator[str]:
    """Return the URL of a Redis database that only this pytest process uses."""
    if given := os.environ.get("REDIS_URL"):
        yield with_path(given, str(worker_number))
        return
    server = ValkeyServer(server_root)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """Return the number of this xdist worker, from 0; 0 without xdist."""
    worker_id: str = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    return int(worker_id.removeprefix("gw"))


@pytest_asyncio.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    """Return the URL of a new, empty database, which is dropped after the test."""
    url = await create_database(postgres_url)
    yield url
    await drop_database(postgres_url, url)


@pytest_asyncio.fixture
async def migrated_database(
    postgres_url: str, database_templates: dict[str, str], pytestconfig: pytest.Config
) -> AsyncIterator[MigratedDatabase]:
    """Return a function that creates databases with the schema of a service. They are dropped after the test.

    The migrations of a service run once per pytest process (`alembic upgrade head`), into a template. Each call copies
    the template, which takes about 30 ms.
    """
    created: list[str] = []

    async def create(service: str) -> str:
        if service not in database_templates:
            template = await create_database(postgres_url)
            migrate(alembic_ini(pytestconfig.rootpath, service), template)
            database_templates[service] = template
        url = await create_database(postgres_url, template=database_templates[service])
        created.append(url)
        return url

    yield create
    for url in created:
        await drop_database(postgres_url, url)


@pytest.fixture(scope="session")
def database_templates() -> dict[str, str]:
    """Return the URLs of the migrated templates by service. `migrated_database` adds them."""
    return {}


@pytest_asyncio.fixture
async def redis_url(valkey_url: str) -> str:
    """Return the URL of a Redis database that is empty, and that no other test uses at the same time."""
    async with Redis.from_url(valkey_url) as client:
        await client.flushdb()
    return valkey_url


def alembic_ini(root: Path, service: str) -> Path:
    """Return the path of a service's alembic.ini, in `services/<name>/` or, for workers, in `<name>/`."""
    for folder in (root / "services" / service, root / service):
        if (folder / "alembic.ini").exists():
            return folder / "alembic.ini"
    raise LookupError(f"no alembic.ini for {service!r} below {root}")


def migrate(ini: Path, url: str) -> None:
    """Run `alembic upgrade head` as operators do.

    Raises:
        RuntimeError: The command failed. The message contains its output.
    """
    result = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "alembic", "-c", str(ini), "upgrade", "head"],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(f"alembic upgrade head failed for {ini}:\n{result.stdout}{result.stderr}")


async def run_alembic(ini: Path, url: str, *arguments: str) -> tuple[int | None, str]:
    """Run alembic for the database at `url`, and return its exit status and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(ini), *arguments,
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def create_database(server_url: str, *, template: str = "") -> str:
    """Create a database with a unique name, a copy of `template` if given, and return its URL."""
    name = f"test_{uuid.uuid4().hex}"
    source = f' TEMPLATE "{urlsplit(template).path[1:]}"' if template else ""
    await execute(server_url, f'CREATE DATABASE "{name}"{source}')
    return with_path(server_url, name)


async def drop_database(server_url: str, url: str) -> None:
    """Drop the database at `url` and close its open connections."""
    await execute(server_url, f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')


async def execute(url: str, statement: str, *parameters: object) -> None:
    """Execute a statement on a new connection."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *parameters)
    finally:
        await connection.close()


async def fetch_value(url: str, query: str) -> Any:
    """Return the first column of the first row of a query on a new connection."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def with_path(url: str, path: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))
