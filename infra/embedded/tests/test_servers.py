"""PostgreSQL and Valkey without a stack: create, start, use and stop them, as root and as another user."""

import asyncio
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from embedded import postgres, postgres_access, status, valkey
from embedded.account import Account, for_postgres
from embedded.errors import EmbeddedError
from testkit.apps import free_port
from testkit.waiting import eventually


@pytest.fixture
def mode() -> int:
    """Permissions of the folder. Other accounts cannot enter it, like a checkout in the home folder of root."""
    return 0o700


@pytest.fixture
def folder(mode: int) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="hopline-test-"))
    path.chmod(mode)
    yield path
    assert path.stat().st_mode & 0o777 == mode, "permissions of the user's folder were changed"
    link = path / "postgres"
    if link.is_symlink():
        shutil.rmtree(link.resolve())
    shutil.rmtree(path)


@asynccontextmanager
async def running(server: postgres.Postgres, password: str) -> AsyncIterator[str]:
    command = server.argv(durable=False)
    process = await asyncio.create_subprocess_exec(*command, cwd="/", stderr=DEVNULL, **server.identity)
    try:
        await eventually(lambda: postgres.is_ready(server.url(password)))
        yield server.url(password)
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)


class TestStatus:
    async def test_status_has_no_databases_when_postgres_stops_meanwhile(self, folder: Path) -> None:
        server = postgres.prepare(folder / "postgres", port=free_port())
        server.initialise("secret")

        async def names(database_server: postgres.Postgres) -> list[str]:
            table: Any = SimpleNamespace(
                postgres=database_server,
                superuser_url=lambda: server.url("secret"),
                superuser_password=lambda: "secret",
            )
            rows, available = await status.read_databases(table)
            assert bool(available) == bool(rows)
            return [row.name for row in rows]

        async with running(server, "secret") as url:
            await postgres.ensure_database(url, name="orders", password="o")
            assert await names(server) == ["orders"]
            assert await names(replace(server, port=free_port())) == []  # stopped before the second connection
            orders = await asyncpg.connect(server.url("secret", database="orders"))
            await orders.execute(
                "CREATE VIEW operator_status AS SELECT pg_terminate_backend(pg_backend_pid())::text AS status"
            )
            await orders.close()
            assert await names(server) == []  # stopped during the query


class TestPostgres:
    @pytest.mark.parametrize("mode", [0o700, 0o755], ids=["private folder", "open folder"])
    async def test_postgres_keeps_its_data_when_it_restarts(self, folder: Path) -> None:
        server = postgres.prepare(folder / "postgres", port=free_port())
        assert server.initialise("secret") is True
        async with running(server, "secret") as url:
            await postgres.ensure_database(url, name="orders", password="first")
            await postgres.ensure_database(url, name="orders", password="second")
            connection = await asyncpg.connect(server.url("second", user="orders", database="orders"))
            assert await connection.fetchval("SHOW server_version_num") >= "180000"
            await connection.execute("CREATE TABLE kept (id int)")
            await connection.close()
        assert server.initialise("ignored: it exists") is False
        async with running(postgres.prepare(folder / "postgres", port=server.port), "secret"):
            pass

    async def test_login_is_rejected_when_password_or_role_is_wrong(self, folder: Path) -> None:
        server = postgres.prepare(folder / "postgres", port=free_port())
        server.initialise("secret")
        async with running(server, "secret") as url:
            await postgres.ensure_database(url, name="orders", password="o")
            await postgres.ensure_database(url, name="users", password="u")
            superuser = await asyncpg.connect(url)
            await superuser.execute("GRANT CONNECT ON DATABASE orders TO PUBLIC")  # as after an interrupted creation
            await superuser.close()
            await postgres.ensure_database(url, name="orders", password="o")
            with pytest.raises(EmbeddedError, match="do not belong to PostgreSQL's data"):
                await postgres.is_ready(server.url("wrong"))
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(server.url("u", user="users", database="orders"))

    def test_creation_is_repeated_when_it_was_interrupted(self, folder: Path) -> None:
        server = postgres.prepare(folder / "postgres", port=free_port())
        (server.cluster / "data.new").mkdir()
        (server.cluster / "password").write_text("old")
        assert server.initialise("secret") is True
        assert [path.name for path in server.cluster.iterdir()] == ["data"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
class TestReachablePrograms:
    @pytest.fixture
    def programs(self, folder: Path) -> Iterator[Path]:
        """The installed folder of a wheel, with a version that does not exist."""
        programs = folder / "some_pgserver" / "pginstall18"
        (programs / "bin").mkdir(parents=True)
        (programs / "share/postgresql").mkdir(parents=True)
        (folder / "some_pgserver.libs").mkdir()
        (folder / "some_pgserver-0.0.1.dist-info").mkdir()
        shutil.copy("/bin/true", programs / "bin/postgres")
        (programs / "share/postgresql/postgres.bki").touch()
        yield programs
        shutil.rmtree(postgres_access.REACHABLE_BY_ALL / "some_pgserver-0.0.1", ignore_errors=True)

    @pytest.mark.parametrize("mode", [0o755])
    def test_programs_are_used_in_place_when_the_account_can_reach_them(self, programs: Path, account: Account) -> None:
        assert postgres_access.reachable_programs(programs, account) == programs

    def test_programs_are_copied_when_the_account_cannot_reach_them(self, programs: Path, account: Account) -> None:
        copy = postgres_access.reachable_programs(programs, account)
        assert copy != programs
        assert account.can("-x", copy / "bin/postgres")
        assert postgres_access.reachable_programs(programs, account) == copy

    @pytest.fixture
    def account(self) -> Account:
        account = for_postgres()
        assert account is not None
        return account


class TestValkey:
    async def test_valkey_keeps_its_data_when_it_restarts(self, folder: Path) -> None:
        server = valkey.prepare(folder / "valkey", port=free_port())

        async def call(*lines: bytes) -> bytes:
            process = await asyncio.create_subprocess_exec(*server.argv(), stdout=DEVNULL)
            try:
                await eventually(lambda: valkey.is_ready(server.port))
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(b"\r\n".join(lines) + b"\r\nQUIT\r\n")
                response = await reader.read()
                writer.close()
                return response
            finally:
                process.terminate()
                await asyncio.wait_for(process.wait(), 10)

        await call(b"SET kept yes")
        assert b"yes" in await call(b"GET kept")
