from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from shared.app import build_app
from shared.database import async_url, check_connection_budget, open_database
from shared.pool import MeasuredPool
from shared.session import SessionDep
from shared.settings import ConfigurationError, DatabaseSettings, ServiceSettings
from testkit.apps import http_client, serve
from testkit.metrics import Metrics
from testkit.spans import Spans


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


class TestConnectionBudget:
    @pytest.mark.parametrize(
        ("workers", "dedicated", "maximum", "fits"),
        [(4, 1, 64, True), (4, 1, 63, False), (1, 0, 30, True), (1, 0, 29, False)],
    )
    def test_every_workers_grown_pool_must_fit(self, workers: int, dedicated: int, maximum: int, *, fits: bool) -> None:
        settings = DatabaseSettings(
            database_url="postgresql://x/y",
            database_pool_size=5,
            database_max_overflow=5,
            database_reserve=20,
        )

        def check() -> None:
            check_connection_budget(settings, workers=workers, dedicated=dedicated, max_connections=maximum)

        if fits:
            check()
            return
        with pytest.raises(ConfigurationError, match="DATABASE_POOL_SIZE") as refused:
            check()
        assert f"{workers} workers × (5 pool + 5 overflow + {dedicated} dedicated) + 20 reserve" in str(refused.value)
        assert f"max_connections is {maximum}" in str(refused.value)

    async def test_the_servers_own_limit_is_asked(self, database: str) -> None:
        settings = DatabaseSettings(database_url=database, database_reserve=100_000)
        with pytest.raises(ConfigurationError, match="100010 connections"):
            async with open_database(settings, application="test"):
                pass


class TestPool:
    async def test_keeps_the_connections_that_a_burst_opened(self, database: str) -> None:
        async with open_database(DatabaseSettings(database_url=database), application="test") as opened:
            pool = opened.engine.pool
            assert isinstance(pool, MeasuredPool)
            async with AsyncExitStack() as burst:
                for _ in range(pool.limit):
                    await burst.enter_async_context(opened.engine.connect())
            assert pool.checkedin() == pool.limit

    async def test_counts_who_waited_in_vain(self, database: str, counted: Metrics) -> None:
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
        assert counted.value("db.client.connection.timeouts", {"db.client.connection.pool.name": "p"}) == 1


class TestRequestTransaction:
    @pytest.fixture
    async def client(self, database: str) -> AsyncIterator[httpx.AsyncClient]:
        router = APIRouter()

        @router.post("/rows/{number}", status_code=201)
        async def insert(number: int, session: SessionDep) -> dict[str, int]:
            await session.execute(text("INSERT INTO row_ VALUES (:number)"), {"number": number})
            if number == 13:
                raise RuntimeError("unlucky")
            return {"number": number}

        @router.post("/errors/{sqlstate}")
        async def fail(sqlstate: str, session: SessionDep) -> None:
            raised = "DO $$ BEGIN RAISE 'as the server says it' USING ERRCODE = '%s'; END $$"
            await session.execute(text(raised % sqlstate))

        @router.post("/people/{email}")
        async def misspell(email: str, session: SessionDep) -> None:
            await session.execute(text("INSERT INTO nowhere VALUES (:email)"), {"email": email})

        settings = Settings(database_url=database)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with open_database(settings, application="test") as opened:
                async with opened.transaction() as session:
                    # deferred: the violation surfaces at commit, after the handler returned
                    await session.execute(
                        text("CREATE TABLE row_ (n int, CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)")
                    )
                app.state.database = opened
                yield

        app = build_app(name="rows", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
        async with serve(app) as url, http_client(url) as client:
            yield client

    async def test_a_failing_commit_is_an_error_the_client_sees(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/rows/1")).status_code == 201
        assert (await client.post("/rows/1")).status_code == 500

    async def test_an_exception_rolls_back(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/rows/13")).status_code == 500
        assert (await client.post("/rows/12")).status_code == 201

    @pytest.mark.parametrize(
        ("sqlstate", "slug"),
        [
            *(
                (code, "unavailable")
                for code in ("08006", "25006", "25P03", "25P04", "40003", "53000", "53100", "53200")
            ),
            *((code, "unavailable") for code in ("53300", "53400", "57P01", "57P02", "57P03", "57P04", "57P05")),
            *((code, "unavailable") for code in ("58000", "58030")),
            *((code, "contention") for code in ("40001", "40P01", "55P03")),
        ],
    )
    async def test_a_server_that_cannot_serve_now_gives_503(
        self, client: httpx.AsyncClient, sqlstate: str, slug: str
    ) -> None:
        response = await client.post(f"/errors/{sqlstate}")
        assert response.status_code == 503
        assert response.json()["type"].endswith(f"/{slug}")
        assert response.headers["Retry-After"] == "1"

    @pytest.mark.parametrize("sqlstate", ["22012", "25P02", "42501", "42P01", "54000", "XX000"])
    async def test_another_error_of_a_statement_gives_500(self, client: httpx.AsyncClient, sqlstate: str) -> None:
        assert (await client.post(f"/errors/{sqlstate}")).status_code == 500

    async def test_an_error_tells_no_values(
        self, client: httpx.AsyncClient, spans: Spans, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert (await client.post("/people/ann@hopline.example")).status_code == 500
        [failed] = spans.named("POST /people/{email}")
        recorded = " ".join(str(event.attributes) for event in failed.events) + str(failed.status.description)
        [logged] = [line for line in capsys.readouterr().out.splitlines() if "unhandled_exception" in line]
        assert "INSERT INTO nowhere" in recorded
        assert "ann@" not in recorded + logged

    async def test_a_probe_has_none(self, client: httpx.AsyncClient, database: str, spans: Spans) -> None:
        settings = Settings(database_url=database)
        async with open_database(settings, application="test") as opened:
            spans.clear()
            await opened.ping()
        assert spans.finished() == ()
