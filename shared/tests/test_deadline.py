"""How long a caller waits reaches the database and the next service, and ends the work there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import text
from starlette.responses import StreamingResponse

from shared.app import build_app
from shared.database import open_database
from shared.deadline import GRACE_S, LONGEST_S, at_most, deadline_in, remaining_s, within
from shared.errors import DeadlineSpent
from shared.http import open_http_client
from shared.session import SessionDep
from shared.settings import DatabaseSettings, ServiceSettings
from testkit.apps import http_client, serve
from testkit.waiting import eventually

AMPLE = {"X-Request-Timeout-Ms": "30000"}


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


router = APIRouter()


@router.get("/left")
async def left() -> float | None:
    return remaining_s()


@router.get("/statement-timeout")
async def statement_timeout(session: SessionDep) -> int:
    shown = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
    return int(await session.scalar(text(shown)) or 0)


@router.get("/statement")
async def statement(session: SessionDep) -> None:
    await session.execute(text("SELECT pg_sleep(60)"))


@router.get("/endless")
async def endless(request: Request) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        request.app.state.cancelled = True
        raise


@router.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"begun, "
        await eventually(lambda: (remaining_s() or 0) < -2 * GRACE_S)
        yield b"ended"

    return StreamingResponse(parts())


@router.get("/next-hop")
async def next_hop(request: Request) -> dict[str, str | None]:
    async with open_http_client(str(request.base_url)) as here:
        return {"told": (await here.get("/told")).json()}


@router.get("/told")
async def told(request: Request) -> str | None:
    return request.headers.get("X-Request-Timeout-Ms")


@pytest.fixture
async def app(database: str) -> FastAPI:
    settings = Settings(database_url=database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_database(settings, application="test") as opened:
            app.state.database = opened
            yield

    return build_app(name="late", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(app) as url, http_client(url) as client:
        yield client


class TestFromTheCaller:
    async def test_without_one_there_is_none(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/left")).json() is None

    async def test_it_counts_from_the_arrival(self, client: httpx.AsyncClient) -> None:
        assert 0 < (await client.get("/left", headers=AMPLE)).json() <= 30

    async def test_nobody_gets_more_than_the_longest(self, client: httpx.AsyncClient) -> None:
        greedy = {"X-Request-Timeout-Ms": "999999999"}
        assert 0 < (await client.get("/left", headers=greedy)).json() <= LONGEST_S

    @pytest.mark.parametrize("given", ["", "-1", "1.5", "1e3", "soon", "9" * 10, "٣", "0x10"])
    async def test_what_is_no_number_of_milliseconds_is_not_heeded(self, client: httpx.AsyncClient, given: str) -> None:
        response = await client.get("/left", headers={b"X-Request-Timeout-Ms": given.encode()})
        assert response.json() is None

    async def test_nothing_is_begun_without_time(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/left", headers={"X-Request-Timeout-Ms": "0"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")
        assert response.json()["instance"] == "/left"
        assert len(response.headers["x-request-id"]) == 32


class TestWork:
    async def test_it_stops_when_the_time_is_over(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        response = await client.get("/endless", headers={"X-Request-Timeout-Ms": "1000"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")
        assert app.state.cancelled

    async def test_an_answer_that_has_begun_may_take_its_time(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/stream", headers={"X-Request-Timeout-Ms": "1000"})
        assert response.text == "begun, ended"


class TestDatabase:
    async def test_a_statement_may_run_until_the_deadline(self, client: httpx.AsyncClient) -> None:
        assert 0 < (await client.get("/statement-timeout", headers={"X-Request-Timeout-Ms": "7000"})).json() <= 7000

    async def test_without_one_and_after_one_it_has_the_usual_time(self, client: httpx.AsyncClient) -> None:
        """One connection serves them all: the limit must not stay behind on it."""
        assert (await client.get("/statement-timeout")).json() == 10_000
        await client.get("/statement-timeout", headers={"X-Request-Timeout-Ms": "7000"})
        assert (await client.get("/statement-timeout")).json() == 10_000

    async def test_a_deadline_gives_no_statement_more(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/statement-timeout", headers=AMPLE)).json() == 10_000

    async def test_a_statement_that_takes_too_long_is_504(
        self, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await client.get("/statement-timeout")  # a connection is there: making one is not to take the statement's time
        response = await client.get("/statement", headers={"X-Request-Timeout-Ms": "1000"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")
        assert response.json()["detail"] == "The database did not finish a statement in time"
        assert "unhandled_exception" not in capsys.readouterr().out


class TestNextHop:
    async def test_it_is_told_what_is_left(self, client: httpx.AsyncClient) -> None:
        told = (await client.get("/next-hop", headers=AMPLE)).json()["told"]
        assert 0 < int(told) <= 30_000

    async def test_it_is_told_nothing_where_nobody_waits(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/next-hop")).json() == {"told": None}


class TestBlocks:
    async def test_an_inner_deadline_shortens_and_never_lengthens(self) -> None:
        with deadline_in(100):
            with deadline_in(5):
                assert at_most(60) <= 5
            with deadline_in(500):
                assert at_most(600) <= 100
            assert at_most(3) == 3
        assert remaining_s() is None
        assert at_most(3) == 3

    async def test_nothing_is_begun_after_it(self) -> None:
        with deadline_in(0), pytest.raises(DeadlineSpent):
            at_most(1)

    async def test_a_block_is_cancelled_when_it_is_over(self) -> None:
        with pytest.raises(TimeoutError):
            async with within(0.01):
                await eventually(lambda: False, timeout=60)
