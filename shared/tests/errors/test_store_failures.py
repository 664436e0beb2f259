"""Which failures of stores are bugs and which are outages. Bugs are logged as errors, outages as warnings."""

import asyncio
import errno
import io
import socket
import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from shared.config import DatabaseSettings
from shared.db.database import Database, create_engine, open_database
from shared.db.driver import DriverStatement
from shared.db.redis import create_redis
from shared.errors.problems import problem_from_exception
from shared.errors.stores import STORE_ERRORS, connecting, is_store_bug, log_store_failure, store_is_unavailable
from testkit.apps import free_port
from testkit.databases import execute

from .rows_service import CREATE_TABLE, lock_row

log = structlog.get_logger()


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Database]:
    await execute(database, CREATE_TABLE)
    settings = DatabaseSettings.model_validate({"database_url": database, "database_lock_timeout_ms": 50})
    async with open_database(settings, application="rows") as opened:
        yield opened


async def run(opened: Database, *statements: str) -> None:
    async with opened.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


async def run_failing(opened: Database, *statements: str) -> DBAPIError:
    """Run the statements in one transaction, and return the error of the last one."""
    with pytest.raises(DBAPIError) as failure:
        await run(opened, *statements)
    return failure.value


class TestPostgres:
    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT missing FROM row_",
            "SELECT n FROM missing",
            "SELECT 1 / 0",
            "ALTER TABLE row_ ADD UNIQUE (changes)",
        ],
    )
    async def test_rejected_statement_is_a_bug(self, opened: Database, statement: str) -> None:
        assert is_store_bug(await run_failing(opened, statement))

    async def test_lock_timeout_is_not_a_bug(self, opened: Database, database: str) -> None:
        async with lock_row(database):
            assert not is_store_bug(await run_failing(opened, "UPDATE row_ SET changes = 1 WHERE n = 1"))

    async def test_statement_timeout_is_not_a_bug(self, opened: Database) -> None:
        assert not is_store_bug(await run_failing(opened, "SET LOCAL statement_timeout = 10", "SELECT pg_sleep(60)"))

    async def test_lost_connection_is_not_a_bug(self, opened: Database) -> None:
        assert not is_store_bug(await run_failing(opened, "SELECT pg_terminate_backend(pg_backend_pid())"))

    async def test_value_of_a_wrong_type_is_a_bug(self, opened: Database) -> None:
        async with opened.transaction() as session:
            with pytest.raises(DBAPIError) as failure:
                await session.execute(text("SELECT n FROM row_ WHERE n = :n"), {"n": "one"})
        assert is_store_bug(failure.value)
        assert problem_from_exception(failure.value).status == HTTPStatus.INTERNAL_SERVER_ERROR

    async def test_concurrent_statements_on_one_connection_are_a_bug(self, opened: Database) -> None:
        sleep = DriverStatement(text("SELECT pg_sleep(0.2)"))
        async with opened.transaction() as session:
            await sleep.fetch(session)  # so that the next call uses asyncpg's connection directly
            running = asyncio.create_task(sleep.fetch(session))
            await asyncio.sleep(0)
            with pytest.raises(DBAPIError, match="another operation is in progress") as failure:
                await session.execute(text("SELECT 1"))
            await running
        assert is_store_bug(failure.value)

    async def test_closed_connection_is_not_a_bug(self, opened: Database) -> None:
        async with opened.engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            raw.driver_connection.terminate()
            with pytest.raises(DBAPIError, match="connection is closed") as failure:
                await connection.execute(text("SELECT 1"))
        assert not is_store_bug(failure.value)
        assert problem_from_exception(failure.value).status == HTTPStatus.SERVICE_UNAVAILABLE

    async def test_missing_unix_socket_is_an_outage(self, database: str, tmp_path: Path) -> None:
        url = make_url(database).update_query_dict({"host": str(tmp_path)})
        settings = DatabaseSettings.model_validate({"database_url": url.render_as_string(hide_password=False)})
        engine = create_engine(settings, application="rows")
        with pytest.raises(ConnectionError, match="cannot connect to PostgreSQL") as failure:
            async with engine.connect():
                pass
        await engine.dispose()
        assert store_is_unavailable(failure.value)


class TestRedis:
    async def test_rejected_command_is_a_bug(self, redis_url: str) -> None:
        async with Redis.from_url(redis_url) as redis:
            await redis.set("key", "not a list")
            with pytest.raises(RedisError) as failure:
                await redis.lpush("key", "a")
        assert is_store_bug(failure.value)

    async def test_unreachable_server_is_not_a_bug(self) -> None:
        async with create_redis(f"redis://127.0.0.1:{free_port()}/0", retries=0) as redis:
            with pytest.raises(RedisError) as failure:
                await redis.ping()
        assert not is_store_bug(failure.value)


OUTAGES = [
    ConnectionResetError("reset"),
    BrokenPipeError("closed"),
    TimeoutError("late"),
    socket.gaierror(socket.EAI_AGAIN, "no name server"),
    ssl.SSLEOFError("closed"),
    *(
        OSError(getattr(errno, name), name)
        for name in ("EADDRNOTAVAIL", "EDQUOT", "EHOSTUNREACH", "EIO", "EMFILE", "ENETUNREACH", "ENOBUFS", "ENOSPC")
    ),
    OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] Network is unreachable"),
]
BUGS = [
    FileNotFoundError(errno.ENOENT, "no such file"),
    IsADirectoryError(errno.EISDIR, "a folder"),
    PermissionError(errno.EACCES, "not allowed"),
    OSError(errno.EBADF, "closed file"),
    io.UnsupportedOperation("not writable"),
]


class TestOperatingSystem:
    @pytest.mark.parametrize("error", OUTAGES, ids=repr)
    def test_error_of_a_connection_or_a_disk_is_an_outage(self, error: OSError) -> None:
        assert store_is_unavailable(error)
        assert not is_store_bug(error)

    @pytest.mark.parametrize("error", BUGS, ids=repr)
    def test_error_of_a_file_is_a_bug(self, error: OSError) -> None:
        assert not store_is_unavailable(error)
        assert is_store_bug(error)
        assert problem_from_exception(error).status == HTTPStatus.INTERNAL_SERVER_ERROR

    async def test_error_of_a_host_without_a_reachable_address_is_an_outage(self) -> None:
        with pytest.raises(OSError, match="Connect call failed") as failure:
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, "localhost", free_port())
        assert store_is_unavailable(failure.value)

    @pytest.mark.parametrize("error", BUGS, ids=repr)
    def test_any_error_of_an_attempt_to_connect_is_an_outage(self, error: OSError) -> None:
        with pytest.raises(ConnectionError, match="cannot connect to the server") as failure, connecting("the server"):
            raise error
        assert store_is_unavailable(failure.value)


class TestLogStoreFailure:
    async def test_level_is_error_with_the_stack_when_the_statement_is_wrong(self, opened: Database) -> None:
        with capture_logs() as records:
            try:
                await run(opened, "SELECT missing FROM row_")
            except STORE_ERRORS as error:
                log_store_failure(log, "read_failed", error, row=1)
        [record] = records
        assert (record["event"], record["log_level"], record["exc_info"]) == ("read_failed", "error", True)
        assert record["error"].startswith("ProgrammingError: ")
        assert record["row"] == 1

    def test_level_is_error_with_the_stack_when_a_file_is_missing(self, tmp_path: Path) -> None:
        with capture_logs() as records:
            try:
                (tmp_path / "missing").read_bytes()
            except STORE_ERRORS as error:
                log_store_failure(log, "read_failed", error)
        [record] = records
        assert (record["log_level"], record["exc_info"]) == ("error", True)

    @pytest.mark.parametrize("error", [ConnectionRefusedError("no server"), TimeoutError("late")])
    def test_level_is_warning_when_the_store_is_unavailable(self, error: OSError) -> None:
        with capture_logs() as records:
            log_store_failure(log, "read_failed", error)
        [record] = records
        assert (record["event"], record["log_level"], record["exc_info"]) == ("read_failed", "warning", False)
        assert record["error"] == f"{type(error).__name__}: {error}"
