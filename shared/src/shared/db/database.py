"""PostgreSQL through SQLAlchemy and asyncpg, with one pool per process.

Some connections of the pool are reserved for reads and for the renewal of leases, so that these continue while other
transactions wait for row locks (ADR 29). With DATABASE_POOLER_URL the pool connects to PgBouncer (ADR 33).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import asyncpg
import orjson
import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from sqlalchemy import event, text
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from shared.config import ConfigurationError, DatabaseSettings
from shared.connections import AVAILABLE_CONNECTIONS, ConnectionBudget, Program
from shared.context import remaining_s
from shared.db.pool import MeasuredPool, mark_stale_if_unavailable
from shared.db.statements import record_statements, remove_row_values
from shared.db.urls import pool_url
from shared.errors.stores import DATABASE_ERRORS, connecting

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_MS = 10_000
POOL_TIMEOUT_S = 3
CONNECT_TIMEOUT_S = 3
START_TIMEOUT_S = 30
"""Time in seconds that a starting process waits for a server that is starting as well."""
RESERVED_SHARE = 0.3
"""Share of the pool that only `reserved` transactions may use: at least one connection, unless it has only one."""

_IS_READ_ONLY = text("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")


class DatabaseReadOnlyError(Exception):
    """The server accepts no writes: it is a standby, or a primary that was demoted."""


class Database:
    """An engine with its pool, and the factory of its sessions."""

    def __init__(self, *, engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]) -> None:
        self.engine = engine
        self.sessions = sessions
        pool = engine.pool
        assert isinstance(pool, MeasuredPool)  # noqa: S101 - open_database creates this class
        self._pool = pool
        self._slots = asyncio.Semaphore(pool.limit - count_reserved(pool.limit))

    async def ping(self) -> None:
        """Raise if the server does not respond or rejects writes. No span is recorded, because probes are frequent.

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

        `reserved` is for transactions that wait for row locks at most briefly: reads and the renewal of leases. They
        may use the reserved connections.

        Raises:
            sqlalchemy.exc.TimeoutError: No connection that is not reserved became free within `POOL_TIMEOUT_S`. The
                first statement raises it too, if the pool has no free connection.
        """
        if not reserved:
            await self._acquire_slot()
        try:
            session = self.sessions()
            async with session.begin():  # releases the connection at its end; `async with session` would cost a task
                yield session
        finally:
            if not reserved:
                self._slots.release()

    async def _acquire_slot(self) -> None:
        """Wait for a connection that is not reserved. The wait is recorded like a wait of the pool."""
        if not self._slots.locked():
            await self._slots.acquire()
            return
        with self._pool.measure_wait():
            try:
                async with asyncio.timeout(POOL_TIMEOUT_S):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise PoolTimeoutError("All connections that are not reserved are in use") from error


def count_reserved(limit: int) -> int:
    """Return how many of `limit` connections are reserved."""
    return max(int(limit * RESERVED_SHARE), 1) if limit > 1 else 0


class DeadlineConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped
    """Limits each statement of a transaction to the time that its request had left at BEGIN (ADR 10).

    asyncpg's transactions send their BEGIN by `execute`. The limit is sent in the same message, because a separate
    statement would cost a round trip. The class is passed to asyncpg as `connection_class`.
    """

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """Run a statement, with the limits added if it is BEGIN."""
        if query.startswith("BEGIN"):
            query = f"{query} {self.limits()}"
        status: str = await super().execute(query, *args, **options)
        return status

    def limits(self) -> str:
        """Return the statements that limit the transaction that begins now; empty without a deadline."""
        left_s = remaining_s()
        if left_s is None:
            return ""
        return f"SET LOCAL statement_timeout = {min(max(int(left_s * 1000), 1), STATEMENT_TIMEOUT_MS)}"


class PoolerConnection(DeadlineConnection):
    """A connection to PgBouncer in transaction mode, which runs each transaction on any connection to the server.

    Settings of a session would stay on a connection that other clients also use. So each BEGIN sets the timeouts for
    its transaction, and prepared statements have no name.
    """

    lock_timeout_ms: ClassVar[int]

    def limits(self) -> str:
        """Return the timeouts of statements (the deadline, otherwise the usual timeout) and of locks."""
        statements = super().limits() or f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"
        return f"{statements}; SET LOCAL lock_timeout = {self.lock_timeout_ms}"

    @classmethod
    def with_lock_timeout(cls, milliseconds: int) -> type["PoolerConnection"]:
        """Return a subclass with this timeout, because asyncpg takes a class and creates the connections itself."""
        return type(cls.__name__, (cls,), {"lock_timeout_ms": milliseconds})


@asynccontextmanager
async def open_database(
    settings: DatabaseSettings, *, application: str, workers: int = 1, direct: int = 0
) -> AsyncIterator[Database]:
    """Check that the server has enough connections, open the pool, and close it at the end.

    `direct` counts the connections that each worker opens beside its pool (a relay holds one). A server that is
    starting is tried again for START_TIMEOUT_S seconds.

    Raises:
        ConfigurationError: The server accepts no connection, or allows too few.
    """
    engine = create_engine(settings, application=application)
    try:
        setting = "DATABASE_POOLER_URL" if settings.database_pooler_url else "DATABASE_URL"
        available = await get_available_connections(engine, setting=setting)
        check_connection_budget(settings, application=application, workers=workers, direct=direct, available=available)
        record_statements(engine.sync_engine, slow_s=settings.slow_statement_ms / 1000, echo=settings.sql_echo)
        yield Database(engine=engine, sessions=async_sessionmaker(engine, expire_on_commit=False))
    finally:
        await engine.dispose()


def create_engine(settings: DatabaseSettings, *, application: str) -> AsyncEngine:
    """Return the engine with an empty pool. `application` is the name of the pool in metrics and of its connections."""
    engine = create_async_engine(
        pool_url(settings),
        poolclass=MeasuredPool,
        pool_logging_name=application,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=POOL_TIMEOUT_S,
        pool_recycle=1800,  # seconds after which a connection is replaced
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        hide_parameters=True,  # keeps addresses and password hashes out of logs and spans
        connect_args={"timeout": CONNECT_TIMEOUT_S, **_connect_args(settings, application)},
    )
    event.listen(engine.sync_engine, "do_connect", _connect)
    event.listen(engine.sync_engine, "handle_error", _handle_error)
    return engine


def _connect_args(settings: DatabaseSettings, application: str) -> dict[str, object]:
    """Return asyncpg's arguments: session timeouts, or with PgBouncer transaction timeouts and unnamed statements."""
    if settings.database_pooler_url is None:
        timeouts = {
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "lock_timeout": str(settings.database_lock_timeout_ms),
        }
        return {
            "connection_class": DeadlineConnection,
            "server_settings": {"application_name": application, **timeouts},
        }
    return {
        "connection_class": PoolerConnection.with_lock_timeout(settings.database_lock_timeout_ms),
        "server_settings": {"application_name": application},
        "statement_cache_size": 0,  # of asyncpg, which gives prepared statements no name without a cache
        "prepared_statement_cache_size": 0,  # of SQLAlchemy
    }


def _connect(dialect: Dialect, _: object, arguments: list[Any], options: dict[str, Any]) -> DBAPIConnection:
    """Connect as the dialect does, and report that the server is unavailable. Listener of the `do_connect` event."""
    with connecting("PostgreSQL"):
        return dialect.connect(*arguments, **options)


def _handle_error(context: ExceptionContext) -> None:
    """Remove row values from an error, and replace the pool's connections if it shows that the server is unavailable.

    Listener of the engine's `handle_error` event.
    """
    remove_row_values(context.original_exception)
    if context.connection is not None:
        mark_stale_if_unavailable(context.connection.engine.pool, context.original_exception)


def check_connection_budget(
    settings: DatabaseSettings, *, application: str, workers: int, direct: int, available: int
) -> None:
    """Raise ConfigurationError if the workers of this service may open more connections than the server allows.

    A process has only the settings of its own service. `make up` and the tests of the manifests check the sum over all
    services (`shared.connections`).
    """
    pooled = settings.database_pooler_url is not None
    own = Program(
        name=application,
        processes=workers,
        pool=0 if pooled else settings.database_pool_size,
        overflow=0 if pooled else settings.database_max_overflow,
        direct=direct,
    )
    budget = ConnectionBudget(programs=(own,), reserve=settings.database_reserve, available=available)
    if problem := budget.problem():
        raise ConfigurationError(f"DATABASE_POOL_SIZE: {problem}")
    log.info("connection_budget_fits", needed=budget.needed, available=available, arithmetic=str(own), pooler=pooled)


async def get_available_connections(
    engine: AsyncEngine, *, setting: str = "DATABASE_URL", timeout_s: float = START_TIMEOUT_S
) -> int:
    """Return how many connections the server allows to roles that are not superusers.

    Waits up to `timeout_s` for a server that is starting.

    Raises:
        ConfigurationError: The server, which `setting` names, accepts no connection within that time.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    pause = 0.1
    while True:
        try:
            async with engine.connect() as connection:
                return int(await connection.scalar(text(AVAILABLE_CONNECTIONS)) or 0)
        except DATABASE_ERRORS as error:
            reason = str(error) or type(error).__name__  # a TimeoutError has no message
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationError(f"{setting}: cannot connect to PostgreSQL: {reason}") from error
            log.info("waiting_for_database", error=reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
