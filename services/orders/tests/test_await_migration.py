"""A process waits for the migration of its database (`python -m shared.commands.await_migration`)."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from shared.commands.await_migration import Revisions, await_migration
from testkit.databases import create_database, drop_database, execute, migrate
from testkit.waiting import TIMEOUT_S

FOLDER = Path(__file__).parents[1]
INI = FOLDER / "alembic.ini"
OLDER_REVISION = "0004_create_reports"
WAIT = ("-m", "shared.commands.await_migration")
MIGRATE = ("-m", "alembic", "upgrade", "head")


@asynccontextmanager
async def run_command(url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python command in the folder of the service until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=FOLDER,
        env=os.environ | {"DATABASE_URL": url, "OTEL_SERVICE_NAME": "orders"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def read_record(process: asyncio.subprocess.Process) -> dict[str, object]:
    """Return the next log record."""
    assert process.stdout
    found: dict[str, object] = orjson.loads(await asyncio.wait_for(process.stdout.readline(), TIMEOUT_S))
    return found


@pytest.fixture
async def empty_database(postgres_url: str) -> AsyncIterator[str]:
    url = await create_database(postgres_url)
    yield url
    await drop_database(postgres_url, url)


async def test_wait_ends_with_one_record_when_the_migration_has_run(empty_database: str) -> None:
    async with run_command(empty_database, *WAIT) as waiting:
        record = await read_record(waiting)
        assert (record["event"], record["service"], record["current"]) == ("waiting_for_migration", "orders", [])
        await asyncio.to_thread(migrate, INI, empty_database)
        output, _ = await asyncio.wait_for(waiting.communicate(), TIMEOUT_S)
        assert (waiting.returncode, output) == (0, b"")


async def test_wait_does_not_end_when_the_schema_has_an_older_revision(database: str) -> None:
    await set_revision(database, OLDER_REVISION)
    assert not await await_migration(database, Revisions.of(INI), timeout_s=0)


async def test_wait_ends_when_the_schema_is_newer_than_the_code(database: str) -> None:
    """After a rollback, the old version runs with the schema of the new one."""
    await set_revision(database, "9999_of_a_later_release")
    async with run_command(database, *WAIT) as waiting:
        output, _ = await asyncio.wait_for(waiting.communicate(), TIMEOUT_S)
        assert (waiting.returncode, output) == (0, b"")


@pytest.mark.parametrize(
    "choose_url",
    [lambda empty_url: empty_url, lambda _: "postgresql://nobody@127.0.0.1:9/orders"],
    ids=["not migrated", "unreachable"],
)
async def test_wait_fails_when_the_timeout_expires(
    empty_database: str, choose_url: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not await await_migration(choose_url(empty_database), Revisions.of(INI), timeout_s=0)
    assert "migration_missing" in capsys.readouterr().out


async def test_migration_waits_until_the_database_exists(postgres_url: str, empty_database: str) -> None:
    url = empty_database
    await drop_database(postgres_url, url)
    async with run_command(url, *MIGRATE) as migration:
        assert (await read_record(migration))["event"] == "waiting_for_database"
        await execute(postgres_url, f'CREATE DATABASE "{url.rpartition("/")[2]}"')
        output, _ = await asyncio.wait_for(migration.communicate(), TIMEOUT_S)
        assert migration.returncode == 0, output


async def set_revision(url: str, revision: str) -> None:
    await execute(url, "UPDATE alembic_version SET version_num = $1", revision)
