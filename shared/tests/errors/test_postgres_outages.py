"""PostgreSQL responds but cannot serve: 503 with Retry-After, not ready, and recovery without a restart."""

import asyncio
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import AdaptedConnection

from shared.config import DatabaseSettings
from shared.db.database import open_database
from shared.db.pool import MeasuredPool
from testkit.databases import create_database
from testkit.rejections import read_only, small_disk
from testkit.servers import PostgresServer, StartPostgres
from testkit.waiting import eventually

from .rows_service import MANY, TABLE, assert_unavailable, execute, fetch_value, lock_row, open_rows

CLOSE_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class TestReadOnlyPostgres:
    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    async def test_writes_get_503_and_readiness_fails_while_it_is_read_only(self, postgres: PostgresServer) -> None:
        database_url = await create_database(postgres.url)
        await execute(database_url, TABLE)
        async with open_rows(database_url) as client:
            assert (await client.post("/rows/1")).status_code == 200
            async with read_only(postgres.url):
                await eventually(lambda: self._is_ready(client, expected=503))
                assert_unavailable(await client.post("/rows/1"))
                assert_unavailable(await client.post("/rows/1/by-driver"))
                assert (await client.get("/server")).status_code == 200
                database = (await client.get("/health/ready")).json()["dependencies"]["database"]
                assert database["error"] == "DatabaseReadOnlyError: the server is read-only"
            await eventually(lambda: self._is_ready(client, expected=200))
            assert (await client.post("/rows/1")).status_code == 200
            assert (await client.post("/rows/1/by-driver")).status_code == 200

    async def _is_ready(self, client: httpx.AsyncClient, *, expected: int) -> bool:
        return (await client.get("/health/ready")).status_code == expected


class TestFullDisk:
    async def test_writes_get_503_until_there_is_space(self, start_postgres: StartPostgres) -> None:
        server = start_postgres()
        data = Path(await fetch_value(server.url, "SHOW data_directory"))
        folder = data.with_name("small")
        with small_disk(folder, like=data, megabytes=8):
            await execute(server.url, f"CREATE TABLESPACE small LOCATION '{folder}'")
            await execute(server.url, "CREATE TABLE row_ (n int, changes int) TABLESPACE small")
            async with open_rows(server.url) as client:
                fill = folder / "fill"
                with suppress(OSError):
                    fill.write_bytes(bytes(8 * 1024 * 1024))
                assert_unavailable(await client.post("/rows"))
                assert await fetch_value(server.url, "SELECT count(*) FROM row_") == 0
                fill.unlink()
                assert (await client.post("/rows")).status_code == 200
                assert await fetch_value(server.url, "SELECT count(*) FROM row_") == MANY


class TestReplacedConnections:
    """The pool replaces a connection at its checkout, and the new connection is lost or stale before its first use."""

    async def test_response_is_503_when_the_new_connection_is_lost(self, database: str) -> None:
        await execute(database, TABLE)
        is_lost = False

        def lose(connection: AdaptedConnection, _: object) -> None:
            if is_lost:
                connection.driver_connection.terminate()

        async with open_rows(database, on_connect=lose) as client:
            assert (await client.post("/rows/1")).status_code == 200
            is_lost = True
            await execute(database, CLOSE_OTHERS)
            for path in ["/rows/1", "/rows/1/by-driver"]:
                assert_unavailable(await client.post(path))
            is_lost = False
            assert (await client.post("/rows/1")).status_code == 200

    async def test_statement_succeeds_when_the_pool_becomes_stale_again(self, database: str) -> None:
        async with open_database(DatabaseSettings(database_url=database), application="rows") as opened:
            pool = opened.engine.pool
            assert isinstance(pool, MeasuredPool)
            event.listen(pool, "connect", lambda *_: pool.mark_stale(pause_s=0))
            pool.mark_stale(pause_s=0)
            for _ in range(3):
                async with opened.transaction() as session:
                    assert await session.scalar(text("SELECT 1")) == 1


class TestLockedRow:
    async def test_response_is_503_when_a_row_stays_locked(self, database: str) -> None:
        await execute(database, TABLE)
        async with open_rows(database, database_lock_timeout_ms=50) as client, lock_row(database):
            assert_unavailable(await client.post("/rows/1"), slug="contention")
            assert_unavailable(await client.post("/rows/1/by-driver"), slug="contention")
            assert (await client.post("/rows/2")).status_code == 200

    async def test_reads_have_connections_when_writes_wait_for_locks(self, database: str) -> None:
        await execute(database, TABLE)
        async with open_rows(database, database_pool_size=4, database_lock_timeout_ms=10_000) as client:
            async with lock_row(database):
                waiting = [asyncio.create_task(client.post("/rows/1")) for _ in range(8)]
                await eventually(lambda: self._wait_for_locks(database, 3), what="all slots of writes to be taken")
                assert (await client.get("/server")).status_code == 200
                assert (await client.get("/health/ready")).status_code == 200
                assert await self._wait_for_locks(database, 3)
            responses = await asyncio.gather(*waiting)
        assert {response.status_code for response in responses} == {200}

    async def _wait_for_locks(self, database_url: str, count: int) -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await fetch_value(database_url, query) == count)
