"""Stores that respond but cannot serve: 503 with Retry-After, not ready, and recovery without a restart."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
import uvloop
from fastapi import APIRouter, FastAPI, Request
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import event, text
from sqlalchemy.engine import AdaptedConnection

import shared.pool
from shared.app import build_app
from shared.database import open_database
from shared.driver import DriverStatement
from shared.pool import MeasuredPool
from shared.redis import check_writable, open_redis, redis_client
from shared.session import SessionDep
from shared.settings import DatabaseSettings, RedisSettings, ServiceSettings
from shared.store_errors import redis_is_unavailable
from testkit.apps import http_client, serve
from testkit.databases import create_database
from testkit.refusals import REDIS_REFUSALS, read_only, refusing_writes, small_disk
from testkit.route import Route, open_route
from testkit.servers import PostgresServer, StartPostgres, StartValkey, ValkeyServer
from testkit.waiting import eventually

UPDATE = "UPDATE row_ SET changes = changes + 1 WHERE n = :n RETURNING n"
UPDATE_BY_DRIVER = DriverStatement(text(UPDATE))
TABLE = "CREATE TABLE row_ AS SELECT n, 0 AS changes FROM generate_series(1, 9) AS n"

CLOSE_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

MANY = 10_000
"""Rows that take some hundred kilobytes."""

rows = APIRouter()


@rows.post("/rows/{number}")
async def update_row(number: int, session: SessionDep) -> int:
    return int(await session.scalar(text(UPDATE), {"n": number}) or 0)


@rows.post("/rows/{number}/by-driver")
async def update_row_by_driver(number: int, session: SessionDep) -> int:
    [row] = await UPDATE_BY_DRIVER.fetch(session, n=number)
    return int(row[0])


@rows.post("/rows")
async def add_rows(session: SessionDep) -> None:
    await session.execute(text("INSERT INTO row_ SELECT n, 0 FROM generate_series(1, :many) AS n"), {"many": MANY})


@rows.get("/server")
async def read_server(session: SessionDep) -> str:
    return str(await session.scalar(text("SELECT system_identifier FROM pg_control_system()")))


class RowSettings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


@asynccontextmanager
async def open_rows(
    database_url: str, *, on_connect: Callable[[AdaptedConnection, object], None] | None = None, **settings: object
) -> AsyncIterator[httpx.AsyncClient]:
    """A service over the table `row_`; `on_connect` is called with each new connection of its pool."""
    given = RowSettings.model_validate({"database_url": database_url, **settings})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_database(given, application="rows") as database:
            if on_connect is not None:
                event.listen(database.engine.sync_engine, "connect", on_connect)
            app.state.database = database
            app.state.health.add("database", database.ping)
            yield

    app = build_app(name="rows", settings=given, lifespan=lifespan, routers=[rows], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        yield client


async def fetch_value(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def assert_unavailable(response: httpx.Response, slug: str = "unavailable") -> None:
    assert response.status_code == 503, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"].endswith(f"/{slug}")
    assert int(response.headers["Retry-After"]) >= 1


class TestReadOnlyPostgres:
    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    async def test_writes_get_503_and_readiness_fails_until_it_is_writable(self, postgres: PostgresServer) -> None:
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


class TestFailover:
    """The old primary stays up, read-only, with its connections open; new connections lead to the new primary."""

    @pytest.fixture
    async def primaries(self, start_postgres: StartPostgres) -> list[PostgresServer]:
        servers = [start_postgres(), start_postgres()]
        for server in servers:
            await execute(server.url, TABLE)
        return servers

    @pytest.fixture
    async def route(self, primaries: list[PostgresServer]) -> AsyncIterator[Route]:
        async with open_route(primaries[0].port) as route:
            yield route

    @pytest.fixture
    async def client(self, primaries: list[PostgresServer], route: Route) -> AsyncIterator[httpx.AsyncClient]:
        url = urlsplit(primaries[0].url)
        address = url._replace(netloc=url.netloc.replace(str(primaries[0].port), str(route.port))).geturl()
        async with open_rows(address) as client:
            await asyncio.gather(*(client.post(f"/rows/{n}") for n in range(1, 10)))  # opens several connections
            yield client

    @pytest.mark.parametrize("path", ["/rows/1", "/rows/1/by-driver"])
    async def test_a_failed_write_leads_all_connections_to_the_new_primary(
        self, client: httpx.AsyncClient, primaries: list[PostgresServer], route: Route, path: str
    ) -> None:
        old = (await client.get("/server")).json()
        async with read_only(primaries[0].url):
            route.target_port = primaries[1].port

            async def is_accepted() -> bool:
                response = await client.post(path)
                assert response.status_code in {200, 503}
                return response.status_code == 200

            await eventually(is_accepted)
            servers = await asyncio.gather(*(client.get("/server") for _ in range(20)))
            assert old not in {server.json() for server in servers}

    async def test_a_failed_probe_leads_readers_to_the_new_primary(
        self, client: httpx.AsyncClient, primaries: list[PostgresServer], route: Route
    ) -> None:
        old = (await client.get("/server")).json()
        async with read_only(primaries[0].url):
            route.target_port = primaries[1].port

            async def is_ready() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            await eventually(is_ready)
            servers = await asyncio.gather(*(client.get("/server") for _ in range(20)))
            assert old not in {server.json() for server in servers}


class TestReplacedConnections:
    """The pool replaces a connection at its checkout, and the new one is lost or stale before its first use."""

    async def test_a_connection_that_is_lost_at_once_gets_503(self, database: str) -> None:
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

    async def test_a_pool_that_is_stale_again_meanwhile_serves(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shared.pool, "STALE_PAUSE_S", 0)
        async with open_database(DatabaseSettings(database_url=database), application="rows") as opened:
            pool = opened.engine.pool
            assert isinstance(pool, MeasuredPool)
            event.listen(pool, "connect", lambda *_: pool.mark_stale())
            pool.mark_stale()
            for _ in range(3):
                async with opened.transaction() as session:
                    assert await session.scalar(text("SELECT 1")) == 1


class TestLockedRow:
    async def test_waits_end_with_503(self, database: str) -> None:
        await execute(database, TABLE)
        async with open_rows(database, database_lock_timeout_ms=50) as client, locked_row(database):
            assert_unavailable(await client.post("/rows/1"), slug="contention")
            assert_unavailable(await client.post("/rows/1/by-driver"), slug="contention")
            assert (await client.post("/rows/2")).status_code == 200

    async def test_waits_leave_connections_for_reads(self, database: str) -> None:
        await execute(database, TABLE)
        async with open_rows(database, database_pool_size=4, database_lock_timeout_ms=10_000) as client:
            async with locked_row(database):
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


@asynccontextmanager
async def locked_row(database_url: str) -> AsyncIterator[None]:
    """Row 1 is locked within the block."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM row_ WHERE n = 1 FOR UPDATE")
            yield
    finally:
        await connection.close()


class KeySettings(RedisSettings, ServiceSettings):
    drain_seconds: float = 0


keys = APIRouter()


@keys.post("/keys/{key}")
async def set_key(key: str, request: Request) -> None:
    await request.app.state.redis.set(key, "1")


@keys.post("/keys/{key}/by-pipeline")
async def set_key_by_pipeline(key: str, request: Request) -> None:
    async with request.app.state.redis.pipeline(transaction=True) as pipeline:
        pipeline.set(key, "1")
        pipeline.expire(key, 60)
        await pipeline.execute()


@keys.post("/keys/{key}/by-script")
async def set_key_by_script(key: str, request: Request) -> None:
    await request.app.state.redis.register_script("return redis.call('SET', KEYS[1], '1')")(keys=[key])


@asynccontextmanager
async def open_keys(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service that writes to Redis."""
    settings = KeySettings.model_validate({"redis_url": redis_url})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_redis(settings) as redis:
            app.state.redis = redis
            app.state.health.add("redis", partial(check_writable, redis), critical=False)
            yield

    app = build_app(name="keys", settings=settings, lifespan=lifespan, routers=[keys], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        yield client


async def write_after_reset() -> Exception:
    """Return what a Redis client raises when it sends a command and the server has reset the connection."""
    accepted = list[asyncio.StreamWriter]()

    async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        with suppress(ConnectionError):
            while commands := await reader.read(65536):  # which redis-py sends first
                writer.write(b"+PONG\r\n" * commands.count(b"*"))

    async with await asyncio.start_server(serve_client, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with redis_client(f"redis://127.0.0.1:{port}/0", retries=0) as redis:
            connection = await redis.connection_pool.get_connection()
            [writer] = accepted
            no_linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
            writer.transport.abort()
            for _ in range(100):  # iterations of the event loop, in which the client's side reads the reset
                await asyncio.sleep(0)
            try:
                await connection.send_command("PING", check_health=False)
            except (RuntimeError, RedisError) as error:
                return error
            finally:
                await redis.connection_pool.release(connection)
    raise AssertionError("the command was sent")


class TestRedis:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    @pytest.mark.parametrize("refusal", REDIS_REFUSALS)
    async def test_writes_get_503_while_it_rejects_them(self, valkey: ValkeyServer, refusal: str) -> None:
        paths = ["/keys/a", "/keys/a/by-pipeline", "/keys/a/by-script"]
        async with open_keys(valkey.url) as client:
            async with refusing_writes(valkey.url, refusal):
                for path in paths:
                    assert_unavailable(await client.post(path))
                readiness = (await client.get("/health/ready")).json()
                assert (readiness["status"], readiness["dependencies"]["redis"]["status"]) == ("degraded", "down")
            assert {(await client.post(path)).status_code for path in paths} == {200}
            assert (await client.get("/health/ready")).json()["status"] == "ready"

    async def test_a_new_connection_is_made_after_a_failover(self, start_valkey: StartValkey) -> None:
        old, new = start_valkey(), start_valkey()
        async with open_route(old.port) as route, open_keys(f"redis://127.0.0.1:{route.port}/0") as client:
            assert (await client.post("/keys/a")).status_code == 200
            route.target_port = new.port
            async with refusing_writes(old.url, "replica"):
                assert (await client.post("/keys/b")).status_code == 200
            async with Redis.from_url(new.url) as redis:
                assert await redis.get("b") == b"1"

    def test_a_connection_that_the_server_resets_is_unavailability_on_uvloop(self) -> None:
        """The services run on uvloop, which raises RuntimeError for a write after a reset."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failure = runner.run(write_after_reset())
        assert redis_is_unavailable(failure)

    async def test_a_script_that_does_not_end_is_unavailability(self, valkey: ValkeyServer) -> None:
        async with Redis.from_url(valkey.url) as redis, Redis.from_url(valkey.url) as other:
            await redis.config_set("busy-reply-threshold", 1)
            endless = asyncio.create_task(redis.eval("while true do end", 0))

            async def is_busy() -> bool:
                try:
                    await other.get("a")
                except ResponseError as busy:
                    return redis_is_unavailable(busy)
                return False

            await eventually(is_busy)
            await other.script_kill()
            with pytest.raises(ResponseError) as killed:
                await endless
            assert not redis_is_unavailable(killed.value)

    @pytest.mark.parametrize(
        ("message", "unavailable"),
        [
            ("MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk", True),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", True),
            ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", True),
            ("CLUSTERDOWN The cluster is down", True),
            ("Command # 1 (SET a 1) of pipeline caused error: ('NOREPLICAS Not enough good replicas.',)", True),
            ("BUSYGROUP Consumer Group name already exists", False),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
            ("unknown command 'READONLY '", False),
        ],
    )
    def test_error_codes(self, message: str, *, unavailable: bool) -> None:
        assert redis_is_unavailable(ResponseError(message)) is unavailable
