"""What a person sees while a service hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, FastAPI

from shared.app import build_app
from shared.database import open_database
from shared.session import SessionDep
from shared.settings import DatabaseSettings, Environment, ServiceSettings
from testkit.apps import http_client, serve
from testkit.waiting import eventually


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0
    database_pool_size: int = 2
    database_max_overflow: int = 1


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


async def test_in_development_the_pool_and_the_tasks_can_be_seen(database: str) -> None:
    settings = Settings(database_url=database, environment=Environment.DEVELOPMENT)
    app = build_app(name="hanger", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        hanging = asyncio.create_task(client.get("/hang"))

        async def taken() -> bool:
            return bool((await client.get("/debug/pool")).json()["database"]["checked_out"] == 1)

        await eventually(taken)
        assert (await client.get("/debug/pool")).json() == {
            "database": {"checked_out": 1, "idle": 0, "at_most": 3},
        }
        tasks = (await client.get("/debug/tasks")).json()
        [waiting] = [task for task in tasks if any("test_debug.py" in at and "hang" in at for at in task["waits_at"])]
        assert waiting["waits_at"][-1].endswith(" Event.wait")
        release.set()
        assert (await hanging).status_code == 200
        assert "/debug/pool" not in app.openapi()["paths"]


@pytest.mark.parametrize("environment", [Environment.TEST, Environment.PRODUCTION])
async def test_elsewhere_there_is_nothing_to_see(database: str, environment: Environment) -> None:
    settings = Settings(database_url=database, environment=environment)
    app = build_app(name="hanger", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        for path in ("/debug/pool", "/debug/tasks"):
            assert (await client.get(path)).status_code == 404
