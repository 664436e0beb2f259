"""A service over the table `row_`, and helpers for tests in which its PostgreSQL cannot serve."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import httpx
from fastapi import APIRouter, FastAPI
from sqlalchemy import event, text
from sqlalchemy.engine import AdaptedConnection

from shared.config import DatabaseSettings, ServiceSettings
from shared.db.database import open_database
from shared.db.driver import DriverStatement
from shared.db.session import SessionDep
from shared.web.app import build_app
from testkit.apps import http_client, serve

UPDATE = "UPDATE row_ SET changes = changes + 1 WHERE n = :n RETURNING n"

UPDATE_BY_DRIVER = DriverStatement(text(UPDATE))

CREATE_TABLE = "CREATE TABLE row_ AS SELECT n, 0 AS changes FROM generate_series(1, 9) AS n"

MANY_ROWS = 10_000
"""Number of rows that take some hundred kilobytes on the disk."""

rows = APIRouter()


@rows.post("/rows/{number}")
async def update_row(number: int, session: SessionDep) -> int:
    return int(await session.scalar(text(UPDATE), {"n": number}) or 0)


@rows.post("/rows/{number}/by-driver")
async def update_row_by_driver(number: int, session: SessionDep) -> int:
    [row] = await UPDATE_BY_DRIVER.fetch(session, n=number)
    return int(row[0])


@rows.post("/rows")
async def add_rows(session: SessionDep) -> None:
    insert = text("INSERT INTO row_ SELECT n, 0 FROM generate_series(1, :last) AS n")
    await session.execute(insert, {"last": MANY_ROWS})


@rows.get("/server")
async def read_server_id(session: SessionDep) -> str:
    return str(await session.scalar(text("SELECT system_identifier FROM pg_control_system()")))


class RowSettings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


@asynccontextmanager
async def open_rows(
    database_url: str, *, on_connect: Callable[[AdaptedConnection, object], None] | None = None, **settings: object
) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service, and yield a client. `on_connect` is called with each new connection of its pool."""
    row_settings = RowSettings.model_validate({"database_url": database_url, **settings})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_database(row_settings, application="rows") as database:
            if on_connect is not None:
                event.listen(database.engine.sync_engine, "connect", on_connect)
            app.state.database = database
            app.state.health.add("database", database.ping)
            yield

    app = build_app(name="rows", settings=row_settings, lifespan=lifespan, routers=[rows], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        yield client


def assert_unavailable(response: httpx.Response, slug: str = "unavailable") -> None:
    assert response.status_code == 503, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"].endswith(f"/{slug}")
    assert int(response.headers["Retry-After"]) >= 1


@asynccontextmanager
async def lock_row(database_url: str) -> AsyncIterator[None]:
    """Lock row 1 within the block."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM row_ WHERE n = 1 FOR UPDATE")
            yield
    finally:
        await connection.close()
