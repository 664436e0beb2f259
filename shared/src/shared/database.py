"""Postgres by SQLAlchemy and asyncpg: one pool per process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic import PostgresDsn
from sqlalchemy import event, text
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from shared.deadline import remaining_s
from shared.pool import MeasuredPool
from shared.settings import ConfigurationError, DatabaseSettings
from shared.statements import watch_statements

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_MS = 10_000
POOL_TIMEOUT_S = 3
CONNECT_TIMEOUT_S = 5
START_PATIENCE_S = 30


@dataclass(frozen=True, kw_only=True)
class Database:
    """An engine with its pool and the sessions made from it."""

    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]

    async def ping(self) -> None:
        """Raise where the server does not answer. Makes no span: probes would drown the traces."""
        with suppress_instrumentation():
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose transaction commits at the end, or rolls back where the block raises."""
        session = self.sessions()
        async with session.begin():  # whose end gives the connection back; closing the session would cost a task
            yield session


class DeadlineConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped
    """Lets no statement of a transaction run past the deadline of the request that began it.

    The limit travels with BEGIN, in one message: as a statement of its own it would cost a round trip. Without a
    deadline there is nothing to say.
    """

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """Run a statement, as asyncpg does, whose transactions come here for their BEGIN."""
        left_s = remaining_s() if query.startswith("BEGIN") else None
        if left_s is not None:
            left_ms = min(max(int(left_s * 1000), 1), STATEMENT_TIMEOUT_MS)
            query = f"{query} SET LOCAL statement_timeout = {left_ms}"
        status: str = await super().execute(query, *args, **options)
        return status


@asynccontextmanager
async def open_database(
    settings: DatabaseSettings, *, application: str, workers: int = 1, dedicated: int = 0
) -> AsyncIterator[Database]:
    """Open the pool after checking that the server can carry it; close it at the end.

    `dedicated` counts the connections each worker opens beside its pool (a relay holds one). Waits up to 30 s for a
    server that is still starting; raises ConfigurationError where the arithmetic does not fit.
    """
    engine = create_async_engine(
        async_url(settings.database_url),
        poolclass=MeasuredPool,
        pool_logging_name=application,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=POOL_TIMEOUT_S,
        pool_recycle=1800,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        hide_parameters=True,  # an error's text goes to logs and spans; addresses and password hashes must not
        connect_args={
            "connection_class": DeadlineConnection,
            "timeout": CONNECT_TIMEOUT_S,
            "server_settings": {"application_name": application, "statement_timeout": str(STATEMENT_TIMEOUT_MS)},
        },
    )
    event.listen(engine.sync_engine, "checkout", reject_closed)
    try:
        available = await _connections_available(engine)
        check_connection_budget(settings, workers=workers, dedicated=dedicated, max_connections=available)
        watch_statements(engine.sync_engine, slow_s=settings.slow_statement_ms / 1000)
        yield Database(engine=engine, sessions=async_sessionmaker(engine, expire_on_commit=False))
    finally:
        await engine.dispose()


def reject_closed(connection: AdaptedConnection, *_: object) -> None:
    """Have the pool replace a connection that the server has closed, as a restart does (ADR 25).

    A listener for the pool's `checkout` event. asyncpg has read the end of the stream by then, so that this costs no
    round trip, unlike `pool_pre_ping`.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def async_url(url: PostgresDsn | str) -> str:
    """The SQLAlchemy URL for asyncpg, from any `postgresql://` URL."""
    return "postgresql+asyncpg://" + str(url).split("://", 1)[1]


def check_connection_budget(settings: DatabaseSettings, *, workers: int, dedicated: int, max_connections: int) -> None:
    """Raise ConfigurationError unless the fully grown pools of every worker fit into the server's limit.

    `workers × (pool_size + max_overflow + dedicated) + reserve ≤ max_connections`
    """
    pool, overflow, reserve = (
        settings.database_pool_size,
        settings.database_max_overflow,
        settings.database_reserve,
    )
    needed = workers * (pool + overflow + dedicated) + reserve
    sum_shown = f"{workers} workers × ({pool} pool + {overflow} overflow + {dedicated} dedicated) + {reserve} reserve"
    if needed > max_connections:
        raise ConfigurationError(
            f"DATABASE_POOL_SIZE: {sum_shown} = {needed} connections, but the server's max_connections is "
            f"{max_connections}. Lower WEB_CONCURRENCY, DATABASE_POOL_SIZE, DATABASE_MAX_OVERFLOW or "
            f"DATABASE_RESERVE, or raise max_connections."
        )
    log.info("connection_budget_fits", needed=needed, max_connections=max_connections, arithmetic=sum_shown)


async def _connections_available(engine: AsyncEngine) -> int:
    deadline = asyncio.get_running_loop().time() + START_PATIENCE_S
    pause = 0.1
    while True:
        try:
            async with engine.connect() as connection:
                return int(await connection.scalar(text("SHOW max_connections")) or 0)
        except (OSError, DBAPIError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(f"DATABASE_URL: the server does not answer: {error}") from error
            log.info("waiting_for_database", error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
