"""Statements that asyncpg runs in the transaction of a session (ADR 24).

`AsyncSession.execute` takes four times the CPU time of asyncpg for the same statement. Use `DriverStatement` for
the few statements that dominate the load, and `AsyncSession.execute` for all others. SQLAlchemy manages the pool, the
session and its transaction, so both kinds of statements can be mixed.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final, NoReturn

import asyncpg
from sqlalchemy import Insert, TextClause
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from shared.db.pool import mark_stale_if_unavailable
from shared.db.statements import (
    SPAN,
    get_error_type,
    get_statement_recorder,
    remove_row_values,
    summarize_statement,
)

_TRANSACTION_KEY: Final = "driver.begun"
"""Key in `Session.info` of the innermost transaction that has run a statement, and its connection."""

_DIALECT: Final = make_url("postgresql+asyncpg://").get_dialect()()
_DRIVER_ERRORS: Final = asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError
_INTEGRITY: Final = "23"
"""Class of the SQLSTATEs of violated constraints (PostgreSQL documentation, appendix A)."""


class DriverStatement:
    """A statement with named parameters. Values are passed to asyncpg unconverted, so JSON is passed as text.

    `columns` are the parameters of an insert. The execution option `span` works as in `shared.db.statements`.
    """

    def __init__(self, statement: TextClause | Insert, *, columns: Sequence[str] | None = None) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)
        self.sql = str(compiled)
        self.parameters: Sequence[str] = compiled.positiontup or ()
        self._summary = summarize_statement(self.sql)
        self._span = bool(statement.get_execution_options().get(SPAN))

    async def fetch(self, session: AsyncSession, /, **values: object) -> Sequence[Any]:
        """Run the statement in the session's transaction and return all rows, each a sequence of its columns.

        Pending changes of ORM objects are not flushed.

        Raises:
            DBAPIError: The statement failed. `orig.sqlstate` is PostgreSQL's code. The connection is invalidated if it
                was lost (`connection_invalidated`) or if the statement was cancelled.
        """
        arguments = [values[name] for name in self.parameters]
        transaction, connection = session.info.get(_TRANSACTION_KEY, (None, None))
        if transaction is None or transaction is not _get_innermost_transaction(session.sync_session):
            return await session.run_sync(self._fetch_by_cursor, arguments)
        started = perf_counter()
        try:
            rows: Sequence[Any] = await connection.connection.driver_connection.fetch(self.sql, *arguments)
        except BaseException as error:
            self._record(connection, started, get_error_type(error))
            await session.run_sync(self._fail, connection, error)
            raise
        self._record(connection, started)
        return rows

    def _fetch_by_cursor(self, session: Session, arguments: Sequence[object]) -> Sequence[Any]:
        """Run the first statement of a transaction or savepoint.

        `Session.connection` sends a pending SAVEPOINT. The cursor sends BEGIN if the transaction has no statement yet.
        """
        connection = session.connection()
        session.info[_TRANSACTION_KEY] = _get_innermost_transaction(session), connection
        cursor = connection.connection.cursor()
        started = perf_counter()
        try:
            cursor.execute(self.sql, arguments)
            rows = cursor.fetchall()
        except BaseException as error:  # noqa: BLE001 - `_fail` raises it again
            self._record(connection, started, get_error_type(error))
            self._fail(session, connection, error)
        self._record(connection, started)
        cursor.close()
        return rows

    def _record(self, connection: Connection, started: float, error_type: str = "") -> None:
        if recorder := get_statement_recorder(connection):
            duration_s = perf_counter() - started
            recorder.record(self.sql, self._summary, duration_s=duration_s, span=self._span, error_type=error_type)

    def _fail(self, _session: Session, connection: Connection, error: BaseException) -> NoReturn:
        """Invalidate the connection if it was lost or interrupted; raise DBAPIError for an error of the driver."""
        pooled, dialect = connection.connection, connection.dialect
        mark_stale_if_unavailable(connection.engine.pool, error)
        lost = dialect.is_disconnect(error, pooled.dbapi_connection, None)  # type: ignore[arg-type]
        if lost or not isinstance(error, Exception):
            connection.invalidate(error)
        remove_row_values(error)
        if not isinstance(error, _DRIVER_ERRORS | dialect.loaded_dbapi.Error):
            raise error
        error_class = IntegrityError if get_error_type(error).startswith(_INTEGRITY) else DBAPIError
        raise error_class(self.sql, None, error, hide_parameters=True, connection_invalidated=lost) from error


def _get_innermost_transaction(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()
