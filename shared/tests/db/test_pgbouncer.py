"""A pool behind a real PgBouncer in transaction mode: statements, timeouts, and outages of both servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import text

from shared.config import ConfigurationError, DatabaseSettings, ServiceSettings
from shared.context import REQUEST_TIMEOUT
from shared.db.database import Database, open_database
from shared.db.driver import DriverStatement
from shared.db.session import SessionDep
from shared.web.app import build_app
from testkit.apps import http_client, serve
from testkit.databases import execute, fetch_value
from testkit.servers import PgBouncerServer, PostgresServer, StartPgBouncer, StartPostgres
from testkit.waiting import eventually

SERVER_CONNECTIONS = 2
ROWS = 40
AVAILABLE_CONNECTIONS = 197
"""The `max_connections` of testkit's PostgreSQL (200) without those that are reserved for superusers (3)."""

CREATE_TABLE = "CREATE TABLE row_ (n int PRIMARY KEY, changes int NOT NULL DEFAULT 0, note jsonb NOT NULL DEFAULT '{}')"
COUNT_CHANGE = DriverStatement(text("UPDATE row_ SET changes = changes + 1 WHERE n = :n RETURNING changes"))

rows = APIRouter()


@rows.post("/rows/{number}")
async def update_row(number: int, session: SessionDep) -> int:
    """Run statements of both kinds in one transaction."""
    note = text("UPDATE row_ SET note = note || jsonb_build_object('by', CAST(:by AS text)) WHERE n = :n")
    await session.execute(note, {"by": "session", "n": number})
    [changes] = (await COUNT_CHANGE.fetch(session, n=number))[0]
    return int(changes)


@rows.get("/notes/{number}")
async def read_note(number: int, session: SessionDep) -> dict[str, str]:
    note: dict[str, str] = await session.scalar(text("SELECT note FROM row_ WHERE n = :n"), {"n": number})
    return note


@rows.get("/limits")
async def read_limits(session: SessionDep) -> list[str]:
    names = ("statement_timeout", "lock_timeout")
    return [str(await session.scalar(text("SELECT current_setting(:name)"), {"name": name})) for name in names]


@rows.get("/sleep")
async def sleep(session: SessionDep) -> None:
    await session.execute(text("SELECT pg_sleep(60)"))


@rows.get("/pool")
async def read_pool(request: Request) -> int:
    database: Database = request.app.state.database
    return database.engine.pool.checkedin()  # type: ignore[attr-defined, no-any-return]


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


@pytest.fixture
async def postgres(start_postgres: StartPostgres) -> PostgresServer:
    server = start_postgres()
    await execute(server.url, f"{CREATE_TABLE}; INSERT INTO row_ (n) SELECT generate_series(1, {ROWS})")
    return server


@pytest.fixture
def pgbouncer(start_pgbouncer: StartPgBouncer, postgres: PostgresServer) -> PgBouncerServer:
    return start_pgbouncer(postgres.url, pool_size=SERVER_CONNECTIONS)


@pytest.fixture
def settings(postgres: PostgresServer, pgbouncer: PgBouncerServer) -> Settings:
    return Settings.model_validate(
        {"database_url": postgres.url, "database_pooler_url": pgbouncer.url, "database_lock_timeout_ms": 700}
    )


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Open a service whose pool connects to PgBouncer."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_database(settings, application="rows") as database:
            app.state.database = database
            app.state.health.add("database", database.ping)
            yield

    app = build_app(name="rows", settings=settings, lifespan=lifespan, routers=[rows], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        yield client


def pgbouncer_url(pgbouncer: PgBouncerServer, postgres: PostgresServer) -> str:
    """Return the URL of the database through PgBouncer, with the password."""
    return postgres.url.replace(f":{postgres.port}/", f":{pgbouncer.port}/") + "?sslmode=disable"


class TestStatements:
    async def test_transactions_share_server_connections(
        self, client: httpx.AsyncClient, postgres: PostgresServer
    ) -> None:
        async def update_all(offset: int) -> set[int]:
            """Update each row once, beginning after the row `offset`, and return the statuses."""
            return {(await client.post(f"/rows/{(offset + n) % ROWS + 1}")).status_code for n in range(ROWS)}

        clients = 4
        assert await asyncio.gather(*(update_all(offset) for offset in range(0, ROWS, ROWS // clients))) == (
            [{200}] * clients
        )
        assert await fetch_value(postgres.url, "SELECT array_agg(DISTINCT changes) FROM row_") == [clients]
        assert (await client.get("/notes/7")).json() == {"by": "session"}
        assert (await client.get("/pool")).json() > SERVER_CONNECTIONS
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rows'"
        assert await fetch_value(postgres.url, count) == SERVER_CONNECTIONS

    async def test_server_connections_have_no_prepared_statements(
        self, client: httpx.AsyncClient, postgres: PostgresServer, pgbouncer: PgBouncerServer
    ) -> None:
        await asyncio.gather(*(client.post(f"/rows/{n}") for n in range(1, 7)))
        connections = [
            await asyncpg.connect(pgbouncer_url(pgbouncer, postgres), statement_cache_size=0)
            for _ in range(SERVER_CONNECTIONS)
        ]
        try:
            for connection in connections:  # an open transaction keeps its server connection
                await connection.execute("BEGIN")
            counts = [
                await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
                for connection in connections
            ]
        finally:
            for connection in connections:
                await connection.close()
        assert counts == [0] * SERVER_CONNECTIONS

    async def test_connection_budget_excludes_the_pool_when_it_connects_to_pgbouncer(self, settings: Settings) -> None:
        too_many = {"database_pool_size": 100, "database_reserve": 150}
        async with open_database(settings.model_copy(update=too_many), application="rows"):
            pass
        direct = settings.model_copy(update={**too_many, "database_pooler_url": None})
        with pytest.raises(ConfigurationError, match=rf"rows 100 \+ reserve 150 = 250 of {AVAILABLE_CONNECTIONS}"):
            async with open_database(direct, application="rows"):
                pass


class TestTimeouts:
    async def test_each_transaction_has_the_timeouts_of_the_settings(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/limits")).json() == ["10s", "700ms"]

    async def test_next_client_of_a_server_connection_has_no_timeouts(
        self, client: httpx.AsyncClient, postgres: PostgresServer, pgbouncer: PgBouncerServer
    ) -> None:
        await client.get("/limits")
        for name in ("statement_timeout", "lock_timeout"):
            connection = await asyncpg.connect(pgbouncer_url(pgbouncer, postgres), statement_cache_size=0)
            try:
                assert await connection.fetchval(f"SHOW {name}") == "0"
            finally:
                await connection.close()

    async def test_statement_ends_at_the_deadline_of_the_request(
        self, client: httpx.AsyncClient, postgres: PostgresServer
    ) -> None:
        response = await client.get("/sleep", headers={REQUEST_TIMEOUT: "300"})
        assert response.status_code == 504

        async def has_ended() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
            return bool(await fetch_value(postgres.url, query) == 0)

        await eventually(has_ended)

    async def test_response_is_503_when_a_row_is_locked(
        self, client: httpx.AsyncClient, postgres: PostgresServer
    ) -> None:
        connection = await asyncpg.connect(postgres.url)
        try:
            await connection.execute("BEGIN; SELECT FROM row_ WHERE n = 1 FOR UPDATE")
            response = await client.post("/rows/1")
        finally:
            await connection.close()
        assert response.status_code == 503
        assert response.json()["type"].endswith("/contention")

    async def test_response_is_503_when_no_server_connection_is_free(
        self, client: httpx.AsyncClient, postgres: PostgresServer, pgbouncer: PgBouncerServer
    ) -> None:
        holders = [await asyncpg.connect(pgbouncer_url(pgbouncer, postgres)) for _ in range(SERVER_CONNECTIONS)]
        try:
            for holder in holders:
                await holder.execute("BEGIN")
            response = await client.post("/rows/1")
            assert response.status_code == 503, response.text
            assert response.json()["type"].endswith("/unavailable")
        finally:
            for holder in holders:
                await holder.close()
        assert (await client.post("/rows/1")).status_code == 200


class Load:
    """Concurrent clients, each of which updates one row again and again, and the statuses of their responses."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.statuses: list[int] = []
        self._client = client
        self._stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            for number in range(1, 9):
                tasks.create_task(self._update(number))
            try:
                yield
            finally:
                self._stopping = True

    async def _update(self, number: int) -> None:
        while not self._stopping:
            self.statuses.append((await self._client.post(f"/rows/{number}")).status_code)

    async def wait_for_success(self) -> None:
        """Wait until twenty successive responses are 200."""
        before = len(self.statuses)

        def has_recovered() -> bool:
            return len(self.statuses) >= before + 20 and set(self.statuses[-20:]) == {200}

        await eventually(has_recovered)

    async def wait_for_failure(self) -> None:
        """Wait until a response is 503."""
        await eventually(lambda: 503 in self.statuses)


class TestOutages:
    @pytest.mark.parametrize("stop_method", ["stop", "kill"])
    async def test_requests_fail_only_with_503_when_pgbouncer_restarts(
        self, client: httpx.AsyncClient, pgbouncer: PgBouncerServer, stop_method: str
    ) -> None:
        load = Load(client)
        async with load.running():
            await load.wait_for_success()
            await asyncio.to_thread(getattr(pgbouncer, stop_method))
            await load.wait_for_failure()
            await asyncio.to_thread(pgbouncer.start)
            await load.wait_for_success()
        assert set(load.statuses) == {200, 503}
        assert (await client.get("/health/ready")).status_code == 200

    @pytest.mark.parametrize("stop_method", ["stop", "immediate_stop"])
    async def test_requests_fail_only_with_503_when_postgresql_restarts(
        self, client: httpx.AsyncClient, postgres: PostgresServer, stop_method: str
    ) -> None:
        load = Load(client)
        async with load.running():
            await load.wait_for_success()
            await asyncio.to_thread(getattr(postgres, stop_method))
            await load.wait_for_failure()
            await asyncio.to_thread(postgres.start)
            await load.wait_for_success()
        assert set(load.statuses) == {200, 503}
        assert (await client.get("/health/ready")).status_code == 200
