"""PostgreSQL through SQLAlchemy and asyncpg, with one pool per process.

Some connections of the pool are reserved for reads: transactions that wait for each other's row locks do not stop them
(ADR 29).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic import PostgresDsn
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from shared.deadline import remaining_s
from shared.pool import MeasuredPool, note_failure
from shared.settings import ConfigurationError, DatabaseSettings
from shared.statements import watch_statements
from shared.store_errors import DATABASE_ERRORS

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_MS = 10_000
POOL_TIMEOUT_S = 3
CONNECT_TIMEOUT_S = 3
START_TIMEOUT_S = 30
"""How long a process waits at its start for a server that is still starting."""
RESERVED_SHARE = 0.3
"""Share of the pool that only transactions with `reserved=True` may use; at least one connection of two or more."""

_IS_READ_ONLY = text("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")


class DatabaseReadOnlyError(Exception):
    """The server accepts no writes: it is a standby, or a primary that was demoted."""


class Database:
    """An engine with its pool, and the factory of its sessions."""

    def __init__(self, *, engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]) -> None:
        self.engine = engine
        self.sessions = sessions
        pool = engine.pool
        assert isinstance(pool, MeasuredPool)  # noqa: S101 - what open_database creates
        self._pool = pool
        self._slots = asyncio.Semaphore(pool.limit - reserved_of(pool.limit))

    async def ping(self) -> None:
        """Raise if the server does not respond or accepts no writes. Records no span: probes would fill the traces.

        Raises:
            DatabaseReadOnlyError: The server is read-only. The pool's connections are replaced.
        """
        with suppress_instrumentation():
            async with self.engine.connect() as connection:
                is_read_only = await connection.scalar(_IS_READ_ONLY)
        if is_read_only:
            self._pool.mark_stale()
            raise DatabaseReadOnlyError("the server is read-only")

    @asynccontextmanager
    async def transaction(self, *, reserved: bool = False) -> AsyncIterator[AsyncSession]:
        """Open a session whose transaction commits at the end of the block, or rolls back if the block raises.

        `reserved` is for what never waits for row locks: it may take the connections that others must leave free.

        Raises:
            sqlalchemy.exc.TimeoutError: No connection became free within `POOL_TIMEOUT_S`.
        """
        if not reserved:
            await self._acquire_slot()
        try:
            session = self.sessions()
            async with session.begin():  # its end releases the connection; closing the session would cost a task
                yield session
        finally:
            if not reserved:
                self._slots.release()

    async def _acquire_slot(self) -> None:
        """Wait for one of the pool's connections that are not reserved; the wait counts as one for a connection."""
        if not self._slots.locked():
            await self._slots.acquire()
            return
        with self._pool.measured_wait():
            try:
                async with asyncio.timeout(POOL_TIMEOUT_S):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise PoolTimeoutError("All connections that are not reserved for reads are in use") from error


def reserved_of(limit: int) -> int:
    """Return how many of `limit` connections are reserved."""
    return max(int(limit * RESERVED_SHARE), 1) if limit > 1 else 0


class DeadlineConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped
    """Limits the statements of a transaction to the deadline of its request (ADR 10).

    asyncpg's transactions send their BEGIN by `execute`. The limit is sent in the same message, because a separate
    statement costs a round trip. Passed to asyncpg as `connection_class`.
    """

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """Run a statement; add the limit to BEGIN if there is a deadline."""
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
    """Check that the server has enough connections, open the pool, and close it at the end.

    `dedicated` counts the connections that each worker opens beside its pool (a relay holds one). Waits up to 30 s for
    a server that is still starting.

    Raises:
        ConfigurationError: The server does not respond, or its `max_connections` is too small.
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
        hide_parameters=True,  # keeps addresses and password hashes out of logs and spans
        connect_args={
            "connection_class": DeadlineConnection,
            "timeout": CONNECT_TIMEOUT_S,
            "server_settings": {
                "application_name": application,
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "lock_timeout": str(settings.database_lock_timeout_ms),
            },
        },
    )
    event.listen(engine.sync_engine, "handle_error", _note_failure)
    try:
        available = await max_connections(engine)
        check_connection_budget(settings, workers=workers, dedicated=dedicated, max_connections=available)
        watch_statements(engine.sync_engine, slow_s=settings.slow_statement_ms / 1000, echo=settings.sql_echo)
        yield Database(engine=engine, sessions=async_sessionmaker(engine, expire_on_commit=False))
    finally:
        await engine.dispose()


def _note_failure(context: ExceptionContext) -> None:
    """Note the failure of a statement, not of an attempt to connect. Listener of the engine's `handle_error` event."""
    if context.connection is not None:
        note_failure(context.connection.engine.pool, context.original_exception)


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


async def max_connections(engine: AsyncEngine) -> int:
    """Return the server's `max_connections`. Waits up to 30 s for a server that is still starting.

    Raises:
        ConfigurationError: The server does not respond within that time.
    """
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    pause = 0.1
    while True:
        try:
            async with engine.connect() as connection:
                return int(await connection.scalar(text("SHOW max_connections")) or 0)
        except DATABASE_ERRORS as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(f"DATABASE_URL: the server does not answer: {error}") from error
            log.info("waiting_for_database", error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
