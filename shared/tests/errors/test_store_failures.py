"""Failures of stores that code logs and survives: bugs are errors with a stack trace, outages are warnings."""

from collections.abc import AsyncIterator

import pytest
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from shared.config import DatabaseSettings
from shared.db.database import Database, open_database
from shared.db.redis import create_redis
from shared.errors.stores import STORE_ERRORS, is_store_bug, log_store_failure
from testkit.apps import free_port

from .rows_service import TABLE, execute, lock_row

log = structlog.get_logger()


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Database]:
    await execute(database, TABLE)
    settings = DatabaseSettings.model_validate({"database_url": database, "database_lock_timeout_ms": 50})
    async with open_database(settings, application="rows") as opened:
        yield opened


async def run(opened: Database, *statements: str) -> None:
    async with opened.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


async def fail(opened: Database, *statements: str) -> DBAPIError:
    with pytest.raises(DBAPIError) as failure:
        await run(opened, *statements)
    return failure.value


class TestPostgres:
    @pytest.mark.parametrize(
        "statement",
        ["SELECT missing FROM row_", "SELECT n FROM missing", "SELECT 1 / 0", "ALTER TABLE row_ ADD UNIQUE (changes)"],
    )
    async def test_rejected_statement_is_a_bug(self, opened: Database, statement: str) -> None:
        assert is_store_bug(await fail(opened, statement))

    async def test_lock_timeout_is_not_a_bug(self, opened: Database, database: str) -> None:
        async with lock_row(database):
            assert not is_store_bug(await fail(opened, "UPDATE row_ SET changes = 1 WHERE n = 1"))

    async def test_statement_timeout_is_not_a_bug(self, opened: Database) -> None:
        assert not is_store_bug(await fail(opened, "SET LOCAL statement_timeout = 10", "SELECT pg_sleep(60)"))

    async def test_lost_connection_is_not_a_bug(self, opened: Database) -> None:
        assert not is_store_bug(await fail(opened, "SELECT pg_terminate_backend(pg_backend_pid())"))


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

    @pytest.mark.parametrize("error", [ConnectionRefusedError("no server"), TimeoutError("late")])
    def test_level_is_warning_when_the_store_is_unavailable(self, error: OSError) -> None:
        with capture_logs() as records:
            log_store_failure(log, "read_failed", error)
        [record] = records
        assert (record["event"], record["log_level"], record["exc_info"]) == ("read_failed", "warning", False)
        assert record["error"] == f"{type(error).__name__}: {error}"
