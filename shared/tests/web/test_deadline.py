"""The deadline of a request limits its SQL statements, its calls and the request itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import text
from starlette.responses import StreamingResponse

from shared.config import DatabaseSettings, ServiceSettings
from shared.context import (
    GRACE_S,
    MAX_TIMEOUT_S,
    Deadline,
    RequestContext,
    enforce_deadline,
    get_context,
    limit_to_deadline,
    remaining_s,
    set_context,
)
from shared.db.database import STATEMENT_TIMEOUT_MS, open_database
from shared.db.session import SessionDep
from shared.errors.problems import DeadlineExceededError
from shared.http.client import open_http_client
from shared.web.app import build_app
from testkit.apps import http_client, serve
from testkit.waiting import eventually

THIRTY_SECONDS = {"X-Request-Timeout-Ms": "30000"}


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


router = APIRouter()


@router.get("/remaining")
async def read_remaining_s() -> float | None:
    return remaining_s()


@router.get("/statement-timeout")
async def read_statement_timeout(session: SessionDep) -> int:
    query = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
    return int(await session.scalar(text(query)) or 0)


@router.get("/statement")
async def run_slow_statement(session: SessionDep) -> None:
    await session.execute(text("SELECT pg_sleep(60)"))


@router.get("/wait_until_cancelled")
async def wait_until_cancelled(request: Request) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        request.app.state.cancelled = True
        raise


@router.get("/stream")
async def stream_until_after_the_deadline() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first, "
        await eventually(lambda: (remaining_s() or 0) < -2 * GRACE_S)
        yield b"last"

    return StreamingResponse(parts())


@router.get("/next-hop")
async def call_next_hop(request: Request) -> dict[str, str | None]:
    async with open_http_client(str(request.base_url)) as here:
        return {"timeout": (await here.get("/timeout-header")).json()}


@router.get("/timeout-header")
async def read_timeout_header(request: Request) -> str | None:
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


class TestDeadlineOfTheCaller:
    async def test_deadline_is_none_when_the_header_is_missing(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/remaining")).json() is None

    async def test_deadline_is_the_time_of_the_header_after_the_arrival(self, client: httpx.AsyncClient) -> None:
        assert 0 < (await client.get("/remaining", headers=THIRTY_SECONDS)).json() <= 30

    async def test_deadline_is_limited_to_the_maximum(self, client: httpx.AsyncClient) -> None:
        headers = {"X-Request-Timeout-Ms": "999999999"}
        assert 0 < (await client.get("/remaining", headers=headers)).json() <= MAX_TIMEOUT_S

    @pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "soon", "9" * 10, "٣", "0x10"])
    async def test_header_is_ignored_when_it_is_malformed(self, client: httpx.AsyncClient, value: str) -> None:
        response = await client.get("/remaining", headers={b"X-Request-Timeout-Ms": value.encode()})
        assert response.json() is None

    async def test_response_is_504_when_no_time_is_left(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/remaining", headers={"X-Request-Timeout-Ms": "0"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")
        assert response.json()["instance"] == "/remaining"
        assert len(response.headers["x-request-id"]) == 32


class TestCancellation:
    async def test_request_is_cancelled_at_the_deadline(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        response = await client.get("/wait_until_cancelled", headers={"X-Request-Timeout-Ms": "1000"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")
        assert app.state.cancelled

    async def test_response_continues_after_the_deadline_when_it_has_begun(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/stream", headers={"X-Request-Timeout-Ms": "1000"})
        assert response.text == "first, last"


class TestDatabase:
    async def test_statement_timeout_is_the_remaining_time(self, client: httpx.AsyncClient) -> None:
        assert 0 < (await client.get("/statement-timeout", headers={"X-Request-Timeout-Ms": "7000"})).json() <= 7000

    async def test_statement_timeout_is_the_default_without_a_deadline(self, client: httpx.AsyncClient) -> None:
        """All requests use one connection, which must not keep the limit of an earlier request."""
        assert (await client.get("/statement-timeout")).json() == STATEMENT_TIMEOUT_MS
        await client.get("/statement-timeout", headers={"X-Request-Timeout-Ms": "7000"})
        assert (await client.get("/statement-timeout")).json() == STATEMENT_TIMEOUT_MS

    async def test_statement_timeout_is_the_default_when_the_deadline_is_later(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/statement-timeout", headers=THIRTY_SECONDS)).json() == STATEMENT_TIMEOUT_MS

    async def test_response_is_504_when_a_statement_reaches_the_deadline(
        self, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await client.get("/statement-timeout")  # opens the connection, so that only the slow statement takes time
        response = await client.get("/statement", headers={"X-Request-Timeout-Ms": "1000"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")
        assert response.json()["detail"] == "The database did not finish a statement in time"
        assert "unhandled_exception" not in capsys.readouterr().out


class TestNextHop:
    async def test_call_carries_the_remaining_time(self, client: httpx.AsyncClient) -> None:
        timeout = (await client.get("/next-hop", headers=THIRTY_SECONDS)).json()["timeout"]
        assert 0 < int(timeout) <= 30_000

    async def test_call_has_no_header_without_a_deadline(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/next-hop")).json() == {"timeout": None}


class TestDeadlineOfABlock:
    async def test_inner_deadline_shortens_but_never_extends_the_outer_one(self) -> None:
        with Deadline(100):
            with Deadline(5):
                assert limit_to_deadline(60) <= 5
            with Deadline(500):
                assert limit_to_deadline(600) <= 100
            assert limit_to_deadline(3) == 3
        assert remaining_s() is None
        assert limit_to_deadline(3) == 3

    async def test_block_shares_the_context_of_the_request_except_the_deadline(self) -> None:
        set_context(RequestContext(request_id="r-1"), deadline=time.monotonic() + 100)
        error = ValueError("recorded once")
        with Deadline(5):
            get_context().recorded = error
        assert get_context().request_id == "r-1"
        assert get_context().recorded is error
        assert 5 < limit_to_deadline(600) <= 100

    async def test_error_is_raised_when_the_deadline_has_passed(self) -> None:
        with Deadline(0), pytest.raises(DeadlineExceededError):
            limit_to_deadline(1)

    async def test_block_is_cancelled_at_its_deadline(self) -> None:
        with pytest.raises(TimeoutError):
            async with enforce_deadline(0.01):
                await eventually(lambda: False, timeout=60)
