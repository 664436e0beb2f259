"""The N+1 guard catches an N+1."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from shared.app import build_app
from shared.database import open_database
from shared.session import SessionDep
from shared.settings import DatabaseSettings, Environment, ServiceSettings
from testkit.apps import http_client, serve
from testkit.queries import Queries, lists_of


class Settings(DatabaseSettings, ServiceSettings):
    environment: Environment = Environment.TEST
    drain_seconds: float = 0


router = APIRouter()


@router.get("/one-by-one/{rows}")
async def one_by_one(rows: int, session: SessionDep) -> list[int]:
    return [int(await session.scalar(text("SELECT 1000000")) or 0) for _ in range(rows)]


@router.get("/at-once/{rows}")
async def at_once(rows: int, session: SessionDep) -> list[int]:
    return list(await session.scalars(text("SELECT 1000000 FROM generate_series(1, :rows)"), {"rows": rows}))


@router.get("/from-memory/{rows}")
async def from_memory(rows: int) -> list[int]:
    return list(range(rows))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_database(app.state.settings, application="test") as app.state.database:
        yield


async def test_the_guard_tells_growing_from_flat(database: str, queries: Queries) -> None:
    app = build_app(
        name="lister",
        settings=Settings(database_url=database),
        lifespan=lifespan,
        routers=[router],
        summary="for tests",
    )
    assert lists_of(app.openapi()) == {f"/{kind}/{{rows}}" for kind in ("one-by-one", "at-once", "from-memory")}
    async with serve(app) as url, http_client(url) as client:
        assert await queries.of(lambda: client.get("/one-by-one/3")) == 3
        await queries.stay_flat(few=lambda: client.get("/at-once/1"), many=lambda: client.get("/at-once/10"))
        for path, few, many, said in (
            ("one-by-one", 1, 10, "1 statements for few rows, 10 for many"),
            ("at-once", 5, 5, "no longer than the first"),
            ("from-memory", 1, 10, "asked no database"),
            ("at-once", "x", 10, "validation"),
        ):
            with pytest.raises(AssertionError, match=said):
                await queries.stay_flat(
                    few=partial(client.get, f"/{path}/{few}"), many=partial(client.get, f"/{path}/{many}")
                )
