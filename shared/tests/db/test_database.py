"""The connection budget, the pool, and the transaction of a request, on a real PostgreSQL."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from shared.config import ConfigurationError, DatabaseSettings, LogFormat, ServiceSettings
from shared.db.database import (
    check_connection_budget,
    create_engine,
    get_available_connections,
    open_database,
)
from shared.db.pool import MeasuredPool
from shared.db.session import SessionDep
from shared.db.urls import async_url
from shared.logging.setup import configure_logging
from shared.web.app import build_app
from testkit.apps import http_client, serve
from testkit.metrics import RecordedMetrics
from testkit.spans import Spans

REJECTED_NUMBER = 13
"""The handler of `/rows/{number}` inserts the row of this number and then raises."""

UNAVAILABLE = (
    *("08006", "25006", "25P03", "25P04", "40003"),
    *("53000", "53100", "53200", "53300", "53400"),
    *("57P01", "57P02", "57P03", "57P04", "57P05"),
    *("58000", "58030"),
)
"""SQLSTATEs of a server that cannot serve (PostgreSQL, appendix A)."""


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


class TestConnectionBudget:
    @pytest.mark.parametrize(("workers", "direct"), [(4, 1), (1, 0)])
    def test_start_fails_only_when_the_connections_of_all_workers_and_the_reserve_exceed_the_limit(
        self, workers: int, direct: int
    ) -> None:
        settings = DatabaseSettings(
            database_url="postgresql://x/y",
            database_pool_size=5,
            database_max_overflow=5,
            database_reserve=20,
        )

        def check(available: int) -> None:
            check_connection_budget(settings, application="orders", workers=workers, direct=direct, available=available)

        own = workers * (5 + 5 + direct)
        needed = own + 20
        check(needed)
        with pytest.raises(ConfigurationError, match="DATABASE_POOL_SIZE") as rejected:
            check(needed - 1)
        assert f"orders {own} + reserve 20 = {needed} of {needed - 1}" in str(rejected.value)
        noun = "process" if workers == 1 else "processes"
        assert f"orders: {workers} {noun} × (5 pool + 5 overflow + {direct} direct)" in str(rejected.value)
        for setting in ("WEB_CONCURRENCY", "DATABASE_POOL_SIZE", "DATABASE_MAX_OVERFLOW", "DATABASE_RESERVE"):
            assert setting in str(rejected.value)

    async def test_start_fails_with_the_reason_when_the_server_does_not_respond(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"postgresql+asyncpg://user@127.0.0.1:{silent.getsockname()[1]}/db?ssl=disable"
            engine = create_async_engine(url, connect_args={"timeout": 0.05})
            with pytest.raises(ConfigurationError, match=r"^DATABASE_URL: cannot connect to PostgreSQL: TimeoutError$"):
                await get_available_connections(engine, timeout_s=0)

    async def test_limit_is_read_from_the_server(self, database: str) -> None:
        settings = DatabaseSettings(database_url=database)
        async with open_database(settings, application="test") as opened, opened.engine.connect() as connection:
            limit = int((await connection.execute(text("SHOW max_connections"))).scalar_one())
            for_superusers = int((await connection.execute(text("SHOW superuser_reserved_connections"))).scalar_one())
        settings = DatabaseSettings(database_url=database, database_reserve=100_000)
        message = rf"test 10 \+ reserve 100000 = 100010 of {limit - for_superusers}\b"
        with pytest.raises(ConfigurationError, match=message):
            async with open_database(settings, application="test"):
                pass


class TestUrl:
    async def test_pool_connects_when_the_url_has_an_sslmode(self, database: str) -> None:
        settings = DatabaseSettings(database_url=f"{database}?sslmode=disable")
        async with open_database(settings, application="test") as opened:
            await opened.ping()

    async def test_connection_fails_when_the_sslmode_requires_tls_and_the_server_has_none(self, database: str) -> None:
        engine = create_engine(DatabaseSettings(database_url=f"{database}?sslmode=require"), application="test")
        with pytest.raises(ConfigurationError, match="SSL"):
            await get_available_connections(engine, timeout_s=0)
        await engine.dispose()


class TestPool:
    async def test_connections_stay_in_the_pool_after_a_burst(self, database: str) -> None:
        async with open_database(DatabaseSettings(database_url=database), application="test") as opened:
            pool = opened.engine.pool
            assert isinstance(pool, MeasuredPool)
            async with AsyncExitStack() as burst:
                for _ in range(pool.limit):
                    await burst.enter_async_context(opened.engine.connect())
            assert pool.checkedin() == pool.limit

    async def test_use_of_a_connection_is_not_logged_when_the_level_is_debug(
        self, database: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logging(service="test", level="DEBUG", log_format=LogFormat.JSON)
        settings = DatabaseSettings(database_url=database)
        async with open_database(settings, application="test") as opened, opened.engine.connect():
            pass
        assert '"debug"' not in capsys.readouterr().out

    async def test_timeout_is_counted_when_no_connection_becomes_free(
        self, database: str, metrics: RecordedMetrics
    ) -> None:
        engine = create_async_engine(
            async_url(database),
            poolclass=MeasuredPool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=0.05,
            pool_logging_name="p",
        )
        async with engine.connect():
            with pytest.raises(PoolTimeoutError):
                async with engine.connect():
                    pass
        await engine.dispose()
        assert metrics.value("db.client.connection.timeouts", {"db.client.connection.pool.name": "p"}) == 1


class TestRequestTransaction:
    @pytest.fixture
    async def client(self, database: str) -> AsyncIterator[httpx.AsyncClient]:
        router = APIRouter()

        @router.post("/rows/{number}", status_code=201)
        async def insert(number: int, session: SessionDep) -> dict[str, int]:
            await session.execute(text("INSERT INTO row_ VALUES (:number)"), {"number": number})
            if number == REJECTED_NUMBER:
                raise RuntimeError("rejected number")
            return {"number": number}

        @router.post("/errors/{sqlstate}")
        async def fail(sqlstate: str, session: SessionDep) -> None:
            statement = f"DO $$ BEGIN RAISE 'message of the server' USING ERRCODE = '{sqlstate}'; END $$"
            await session.execute(text(statement))

        @router.post("/secrets/{secret}")
        async def insert_into_missing_table(secret: str, session: SessionDep) -> None:
            await session.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": secret})

        settings = Settings(database_url=database)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with open_database(settings, application="test") as opened:
                async with opened.transaction() as session:
                    # The constraint is deferred, so that the commit fails after the handler has returned.
                    await session.execute(
                        text("CREATE TABLE row_ (n int, CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)")
                    )
                app.state.database = opened
                yield

        app = build_app(name="rows", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
        async with serve(app) as url, http_client(url) as client:
            yield client

    async def test_response_is_500_when_the_commit_fails(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/rows/1")).status_code == 201
        assert (await client.post("/rows/1")).status_code == 500

    async def test_transaction_is_rolled_back_when_the_handler_raises(
        self, client: httpx.AsyncClient, database: str
    ) -> None:
        assert (await client.post(f"/rows/{REJECTED_NUMBER}")).status_code == 500
        assert (await client.post(f"/rows/{REJECTED_NUMBER + 1}")).status_code == 201
        settings = Settings(database_url=database)
        async with open_database(settings, application="test") as opened, opened.transaction() as session:
            assert (await session.scalars(text("SELECT n FROM row_"))).all() == [REJECTED_NUMBER + 1]

    @pytest.mark.parametrize(
        ("sqlstate", "slug"),
        [
            *((code, "unavailable") for code in UNAVAILABLE),
            *((code, "contention") for code in ("40001", "40P01", "55P03")),
        ],
    )
    async def test_response_is_503_when_the_server_is_unavailable_or_rows_are_contended(
        self, client: httpx.AsyncClient, sqlstate: str, slug: str
    ) -> None:
        response = await client.post(f"/errors/{sqlstate}")
        assert response.status_code == 503
        assert response.json()["type"].endswith(f"/{slug}")
        assert response.headers["Retry-After"] == "1"

    @pytest.mark.parametrize("sqlstate", ["22012", "25P02", "42501", "42P01", "54000", "XX000"])
    async def test_response_is_500_when_the_error_is_neither_an_outage_nor_contention(
        self, client: httpx.AsyncClient, sqlstate: str
    ) -> None:
        assert (await client.post(f"/errors/{sqlstate}")).status_code == 500

    async def test_values_are_not_recorded_when_a_statement_fails(
        self, client: httpx.AsyncClient, spans: Spans, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert (await client.post("/secrets/hunter2")).status_code == 500
        [failed] = spans.named("POST /secrets/{secret}")
        recorded = " ".join(str(event.attributes) for event in failed.events) + str(failed.status.description)
        [logged] = [line for line in capsys.readouterr().out.splitlines() if "unhandled_exception" in line]
        assert "INSERT INTO nowhere" in recorded
        assert "hunter2" not in recorded + logged

    async def test_readiness_probe_of_the_database_creates_no_span(self, database: str, spans: Spans) -> None:
        settings = Settings(database_url=database, slow_statement_ms=0)  # every statement would have a span
        async with open_database(settings, application="test") as opened:
            spans.clear()
            await opened.ping()
        assert spans.finished() == ()
