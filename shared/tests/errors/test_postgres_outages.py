"""The responses of a service whose PostgreSQL responds but cannot serve, and its recovery without a restart."""

import asyncio
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import AdaptedConnection

from shared.config import DatabaseSettings
from shared.db.database import count_reserved, open_database
from shared.db.pool import MeasuredPool
from testkit.databases import create_database, execute, fetch_value
from testkit.rejections import read_only, small_disk
from testkit.servers import PostgresServer, StartPostgres
from testkit.waiting import eventually

from .rows_service import CREATE_TABLE, MANY_ROWS, assert_unavailable, lock_row, open_rows

CLOSE_OTHER_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class TestReadOnlyPostgres:
    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    async def test_writes_get_503_and_readiness_fails_while_the_server_is_read_only(
        self, postgres: PostgresServer
    ) -> None:
        database_url = await create_database(postgres.url)
        await execute(database_url, CREATE_TABLE)
        async with open_rows(database_url) as client:
            assert (await client.post("/rows/1")).status_code == 200
            async with read_only(postgres.url):
                await eventually(lambda: self._readiness_is(client, 503))
                assert_unavailable(await client.post("/rows/1"))
                assert_unavailable(await client.post("/rows/1/by-driver"))
                assert (await client.get("/server")).status_code == 200
                database = (await client.get("/health/ready")).json()["dependencies"]["database"]
                assert database["error"] == "DatabaseReadOnlyError: the server is read-only"
            await eventually(lambda: self._readiness_is(client, 200))
            assert (await client.post("/rows/1")).status_code == 200
            assert (await client.post("/rows/1/by-driver")).status_code == 200

    async def _readiness_is(self, client: httpx.AsyncClient, status: int) -> bool:
        return (await client.get("/health/ready")).status_code == status


class TestFullDisk:
    async def test_writes_get_503_until_the_disk_has_space(self, start_postgres: StartPostgres) -> None:
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
                assert await fetch_value(server.url, "SELECT count(*) FROM row_") == MANY_ROWS


class TestReplacedConnections:
    """The pool opens a new connection at a checkout. It is lost, or the pool becomes stale, before its first use."""

    async def test_response_is_503_when_the_new_connection_is_lost(self, database: str) -> None:
        await execute(database, CREATE_TABLE)
        new_connections_are_lost = False

        def lose(connection: AdaptedConnection, _: object) -> None:
            if new_connections_are_lost:
                connection.driver_connection.terminate()

        async with open_rows(database, on_connect=lose) as client:
            assert (await client.post("/rows/1")).status_code == 200
            new_connections_are_lost = True
            await execute(database, CLOSE_OTHER_CONNECTIONS)
            for path in ["/rows/1", "/rows/1/by-driver"]:
                assert_unavailable(await client.post(path))
            new_connections_are_lost = False
            assert (await client.post("/rows/1")).status_code == 200

    async def test_statement_succeeds_when_the_pool_becomes_stale_at_each_new_connection(self, database: str) -> None:
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
        await execute(database, CREATE_TABLE)
        async with open_rows(database, database_lock_timeout_ms=50) as client, lock_row(database):
            assert_unavailable(await client.post("/rows/1"), slug="contention")
            assert_unavailable(await client.post("/rows/1/by-driver"), slug="contention")
            assert (await client.post("/rows/2")).status_code == 200

    async def test_reads_have_connections_when_writes_wait_for_locks(self, database: str) -> None:
        await execute(database, CREATE_TABLE)
        pool_size = 4
        write_slots = pool_size - count_reserved(pool_size)
        async with open_rows(database, database_pool_size=pool_size, database_lock_timeout_ms=10_000) as client:

            async def are_write_slots_taken() -> bool:
                return await self._count_lock_waits(database) == write_slots

            async with lock_row(database):
                writes = [asyncio.create_task(client.post("/rows/1")) for _ in range(2 * pool_size)]
                await eventually(are_write_slots_taken)
                assert (await client.get("/server")).status_code == 200
                assert (await client.get("/health/ready")).status_code == 200
                assert await are_write_slots_taken()
            responses = await asyncio.gather(*writes)
        assert {response.status_code for response in responses} == {200}

    async def _count_lock_waits(self, database_url: str) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return int(await fetch_value(database_url, query))
