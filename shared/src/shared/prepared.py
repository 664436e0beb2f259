"""Statements of busy paths: compiled once, handed to asyncpg in the transaction of a session (ADR 18).

What SQLAlchemy does for each execution (cache key, context, cursor, result) takes three times as long as asyncpg. Here
it is left out for those few statements that make the load. The session and its transaction, SQLAlchemy's exceptions
and the account of `shared.statements` stay: a caller can not tell which way a statement went.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, NoReturn, Self

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from shared.statements import SPAN, Account, account_of, error_type_of, summary_of

_LINE: Final = "prepared.line"


class Prepared:
    """A statement with named parameters, which are asyncpg's own types: JSON is text. Rows are asyncpg's records.

    `columns` are the parameters of an insert. The execution option `span` counts as everywhere.
    """

    def __init__(self, statement: sa.TextClause | sa.Insert, *, columns: Sequence[str] | None = None) -> None:
        compiled = statement.compile(dialect=PGDialect_asyncpg(), column_keys=columns)  # type: ignore[no-untyped-call]
        self.sql = str(compiled)
        self.names: Sequence[str] = compiled.positiontup or ()
        self._summary = summary_of(self.sql)
        self._span: str | None = statement.get_execution_options().get(SPAN)

    async def fetch(self, session: AsyncSession, /, **values: object) -> list[asyncpg.Record]:
        """Run it in the session's transaction, which begins where there is none; all rows, or SQLAlchemy's exceptions.

        What the session has yet to flush stays with it.
        """
        line: _Line | None = session.info.get(_LINE)
        if line is None or line.transaction is not _innermost(session.sync_session):
            line = session.info[_LINE] = await session.run_sync(_Line.of)
        started = perf_counter()
        try:
            await line.begin()
            rows: list[asyncpg.Record] = await line.driver.fetch(self.sql, *[values[name] for name in self.names])
        except BaseException as error:
            self._settle(line, started, error_type_of(error))
            await session.run_sync(line.fail, self.sql, error)
            raise
        self._settle(line, started, "")
        return rows

    def _settle(self, line: "_Line", started: float, error_type: str) -> None:
        if line.account:
            took_s = perf_counter() - started
            line.account.settle(self.sql, self._summary, took_s=took_s, span=self._span, error_type=error_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The way to asyncpg of one transaction of a session, or of one savepoint, which is made when it is asked for."""

    transaction: SessionTransaction | None
    connection: Connection
    adapted: Any
    """SQLAlchemy's adapter: begins the transaction, and translates errors into those of the DBAPI."""
    driver: "asyncpg.Connection[asyncpg.Record]"
    account: Account | None

    @classmethod
    def of(cls, session: Session) -> Self:
        """Check a connection out, where the transaction has none."""
        connection = session.connection()
        adapted: Any = connection.connection.dbapi_connection
        return cls(
            transaction=_innermost(session),
            connection=connection,
            adapted=adapted,
            driver=adapted.driver_connection,
            account=account_of(connection),
        )

    async def begin(self) -> None:
        """Send BEGIN, where no statement has gone before: SQLAlchemy waits for the first one."""
        if self.adapted._transaction is None:  # noqa: SLF001 - its COMMIT depends on it
            await self.adapted._start_transaction()  # noqa: SLF001 - likewise

    def fail(self, _session: Session, sql: str, error: BaseException) -> None:
        """Raise SQLAlchemy's exception for asyncpg's, and give up a connection that was lost or interrupted."""
        try:
            self._translate(error)
        except BaseException as translated:  # noqa: BLE001 - it looks at what is being handled
            self.connection._handle_dbapi_exception(translated, sql, None, None, None)  # noqa: SLF001

    def _translate(self, error: BaseException) -> NoReturn:
        if isinstance(error, Exception):
            self.adapted._handle_exception(error)  # noqa: SLF001 - the one table of what is what
        raise error


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()
