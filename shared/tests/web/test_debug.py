"""The debug pages of a service with a request that hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, FastAPI

from shared.config import DatabaseSettings, Environment, ServiceSettings
from shared.db.database import open_database
from shared.db.session import SessionDep
from shared.web.app import build_app
from testkit.apps import http_client, serve
from testkit.waiting import eventually

POOL_SIZE, MAX_OVERFLOW = 2, 1


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0
    database_pool_size: int = POOL_SIZE
    database_max_overflow: int = MAX_OVERFLOW


router = APIRouter()
release = asyncio.Event()


@router.get("/hang")
async def hang(session: SessionDep) -> None:
    await session.connection()
    await release.wait()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_database(app.state.settings, application="test") as app.state.database:
        yield


async def test_debug_pages_show_the_pool_and_the_waiting_tasks_in_development(database: str) -> None:
    settings = Settings(database_url=database, environment=Environment.DEVELOPMENT)
    app = build_app(name="hanger", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        hanging = asyncio.create_task(client.get("/hang"))

        async def is_checked_out() -> bool:
            return bool((await client.get("/debug/pool")).json()["database"]["checked_out"] == 1)

        await eventually(is_checked_out)
        assert (await client.get("/debug/pool")).json() == {
            "database": {"checked_out": 1, "idle": 0, "at_most": POOL_SIZE + MAX_OVERFLOW},
        }
        tasks = (await client.get("/debug/tasks")).json()
        [waiting] = [task for task in tasks if any("test_debug.py" in at and "hang" in at for at in task["waits_at"])]
        assert waiting["waits_at"][-1].endswith(" Event.wait")
        release.set()
        assert (await hanging).status_code == 200
        assert "/debug/pool" not in app.openapi()["paths"]


@pytest.mark.parametrize("environment", [Environment.TEST, Environment.PRODUCTION])
async def test_debug_pages_do_not_exist_outside_development(database: str, environment: Environment) -> None:
    settings = Settings(database_url=database, environment=environment)
    app = build_app(name="hanger", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        for path in ("/debug/pool", "/debug/tasks"):
            assert (await client.get(path)).status_code == 404
