"""The check against N+1 queries finds one."""

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


async def test_check_fails_when_the_number_of_statements_grows(database: str, queries: Queries) -> None:
    app = build_app(
        name="lister",
        settings=Settings(database_url=database),
        lifespan=lifespan,
        routers=[router],
        summary="for tests",
    )
    assert list_paths(app.openapi()) == {f"/{kind}/{{rows}}" for kind in ("one-by-one", "at-once", "from-memory")}
    async with serve(app) as url, http_client(url) as client:
        assert await queries.count(lambda: client.get("/one-by-one/3")) == 3
        await queries.assert_constant(few=lambda: client.get("/at-once/1"), many=lambda: client.get("/at-once/10"))
        for path, few, many, message in (
            ("one-by-one", 1, 10, "1 statements for few rows, 10 for many"),
            ("at-once", 5, 5, "not longer than the first"),
            ("from-memory", 1, 10, "executed no statement"),
            ("at-once", "x", 10, "validation"),
        ):
            with pytest.raises(AssertionError, match=message):
                await queries.assert_constant(
                    few=partial(client.get, f"/{path}/{few}"), many=partial(client.get, f"/{path}/{many}")
                )
