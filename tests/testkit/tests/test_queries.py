"""The check against N+1 queries fails if the number of statements grows, and if it cannot find that out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from shared.config import DatabaseSettings, Environment, ServiceSettings
from shared.db.database import open_database
from shared.db.session import SessionDep
from shared.web.app import build_app
from testkit.apps import http_client, serve
from testkit.queries import Queries, list_paths


class Settings(DatabaseSettings, ServiceSettings):
    environment: Environment = Environment.TEST
    drain_seconds: float = 0


router = APIRouter()


@router.get("/one-by-one/{rows}")
async def one_by_one(rows: int, session: SessionDep) -> list[int]:
    return [int(await session.scalar(text("SELECT 1000000")) or 0) for _ in range(rows)]


@router.get("/at-once/{rows}")
async def in_one_statement(rows: int, session: SessionDep) -> list[int]:
    return list(await session.scalars(text("SELECT 1000000 FROM generate_series(1, :rows)"), {"rows": rows}))


@router.get("/from-memory/{rows}")
async def from_memory(rows: int) -> list[int]:
    return list(range(rows))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_database(app.state.settings, application="test") as app.state.database:
        yield


@pytest.fixture
def app(database: str) -> FastAPI:
    return build_app(
        name="lister",
        settings=Settings(database_url=database),
        lifespan=lifespan,
        routers=[router],
        summary="for tests",
    )


def test_paths_of_lists_are_found(app: FastAPI) -> None:
    assert list_paths(app.openapi()) == {f"/{kind}/{{rows}}" for kind in ("one-by-one", "at-once", "from-memory")}


async def test_check_passes_when_the_number_of_statements_is_constant(app: FastAPI, queries: Queries) -> None:
    async with serve(app) as url, http_client(url) as client:
        assert await queries.count(partial(client.get, "/one-by-one/3")) == 3
        assert await queries.count(partial(client.get, "/at-once/3")) == 1
        await queries.assert_constant(few=partial(client.get, "/at-once/1"), many=partial(client.get, "/at-once/10"))


@pytest.mark.parametrize(
    ("few", "many", "message"),
    [
        pytest.param("/one-by-one/1", "/one-by-one/10", "1 statements for few rows, 10 for many", id="N+1"),
        pytest.param("/at-once/5", "/at-once/5", "not longer than the first", id="same number of rows"),
        pytest.param("/from-memory/1", "/from-memory/10", "executed no statement", id="no statement"),
        pytest.param("/at-once/x", "/at-once/10", "validation", id="error response"),
    ],
)
async def test_check_fails_when_the_number_grows_or_is_not_measured(
    app: FastAPI, queries: Queries, few: str, many: str, message: str
) -> None:
    async with serve(app) as url, http_client(url) as client:
        with pytest.raises(AssertionError, match=message):
            await queries.assert_constant(few=partial(client.get, few), many=partial(client.get, many))
