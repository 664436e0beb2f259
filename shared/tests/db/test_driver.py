"""A `DriverStatement` runs in the session's transaction, raises SQLAlchemy's errors and is recorded like `execute`."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.config import DatabaseSettings
from shared.context import Deadline
from shared.db.database import Database, open_database
from shared.db.driver import DriverStatement
from shared.db.statements import DatabaseCost
from shared.errors.problems import DeadlineExceededError, UnavailableError, problem_from_exception
from testkit.spans import Spans, event_names
from testkit.waiting import eventually

Run = Callable[..., Awaitable[Any]]
"""Runs SQL in a session, with named parameters."""

INSERT = "INSERT INTO person VALUES (:email) RETURNING email"

tracer = trace.get_tracer(__name__)


async def run_first(session: AsyncSession, sql: str, **values: object) -> Any:
    """Run a statement as the first one of the transaction."""
    return await DriverStatement(text(sql)).fetch(session, **values)


async def run_later(session: AsyncSession, sql: str, **values: object) -> Any:
    """Run a statement after another one of the transaction."""
    await DriverStatement(text("SELECT 1")).fetch(session)
    return await DriverStatement(text(sql)).fetch(session, **values)


async def run_by_session(session: AsyncSession, sql: str, **values: object) -> Any:
    return (await session.execute(text(sql), values)).all()


every_method = pytest.mark.parametrize("run", [run_first, run_later, run_by_session])
driver_methods = pytest.mark.parametrize("run", [run_first, run_later])


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Database]:
    async with open_database(
        DatabaseSettings(database_url=database, database_pool_size=1, database_max_overflow=0), application="test"
    ) as opened:
        async with opened.transaction() as session:
            await session.execute(text("CREATE TABLE person (email text PRIMARY KEY)"))
        yield opened


async def read_emails(opened: Database) -> list[str]:
    async with opened.transaction() as session:
        return list((await session.scalars(text("SELECT email FROM person ORDER BY email"))).all())


class TestTransaction:
    @driver_methods
    async def test_statement_is_committed_and_rolled_back_with_the_session(self, opened: Database, run: Run) -> None:
        async with opened.transaction() as session:
            [(email,)] = await run(session, INSERT, email="ann")
            await session.execute(text(INSERT), {"email": "bob"})
            await run(session, INSERT, email="cy")
        assert email == "ann"
        async with opened.sessions() as session:
            await run(session, INSERT, email="dee")
            await session.rollback()
        assert await read_emails(opened) == ["ann", "bob", "cy"]

    @driver_methods
    async def test_statement_uses_the_transaction_of_the_session(self, opened: Database, run: Run) -> None:
        async with opened.sessions() as session:
            await session.execute(text(INSERT), {"email": "ann"})
            await run(session, INSERT, email="bob")
            await session.rollback()
        assert await read_emails(opened) == []

    @driver_methods
    async def test_statement_is_rolled_back_to_a_savepoint(self, opened: Database, run: Run) -> None:
        async with opened.transaction() as session:
            await run(session, INSERT, email="ann")
            savepoint = await session.begin_nested()
            await run(session, INSERT, email="bob")
            await savepoint.rollback()
            await run(session, INSERT, email="cy")
        assert await read_emails(opened) == ["ann", "cy"]

    @driver_methods
    async def test_statement_begins_a_new_transaction_after_a_commit(self, opened: Database, run: Run) -> None:
        async with opened.sessions() as session:
            await run(session, INSERT, email="ann")
            await session.commit()
            await run(session, INSERT, email="bob")
            await session.rollback()
        assert await read_emails(opened) == ["ann"]

    @driver_methods
    async def test_statement_timeout_is_the_remaining_time_when_there_is_a_deadline(
        self, opened: Database, run: Run
    ) -> None:
        with Deadline(5):
            async with opened.transaction() as session:
                [(timeout,)] = await run(session, "SHOW statement_timeout")
        assert 4000 < int(timeout.removesuffix("ms")) <= 5000


@every_method
class TestFailure:
    async def test_error_and_its_stack_trace_contain_no_values_when_a_constraint_is_violated(
        self, opened: Database, run: Run
    ) -> None:
        email = "ann@hopline.example"
        async with opened.transaction() as session:
            await run(session, INSERT, email=email)
        with pytest.raises(IntegrityError) as failed:
            async with opened.transaction() as session:
                await run(session, INSERT, email=email)
        assert getattr(failed.value.orig, "sqlstate", None) == "23505"
        assert not failed.value.connection_invalidated
        assert email not in f"{failed.value} {failed.value.orig}"
        assert email not in "".join(traceback.format_exception(failed.value))
        assert await read_emails(opened) == [email]

    async def test_connection_is_invalidated_when_it_is_lost(self, opened: Database, run: Run) -> None:
        with pytest.raises(DBAPIError) as lost:
            async with opened.transaction() as session:
                await run(session, "SELECT pg_terminate_backend(pg_backend_pid())")
        assert lost.value.connection_invalidated
        assert isinstance(problem_from_exception(lost.value), UnavailableError)
        assert await read_emails(opened) == []

    async def test_problem_is_504_when_the_statement_reaches_the_deadline(self, opened: Database, run: Run) -> None:
        with Deadline(0.2), pytest.raises(DBAPIError) as late:
            async with opened.transaction() as session:
                await run(session, "SELECT pg_sleep(60)")
        assert isinstance(problem_from_exception(late.value), DeadlineExceededError)
        assert not late.value.connection_invalidated

    async def test_connection_is_discarded_when_the_statement_is_cancelled(self, opened: Database, run: Run) -> None:
        async with opened.transaction() as session:
            [(before,)] = await run(session, "SELECT pg_backend_pid()")

        async def sleep() -> None:
            async with opened.transaction() as session:
                await run(session, "SELECT pg_sleep(60)")

        async def is_sleeping() -> bool:
            query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = :name)"
            return bool(await observer.scalar(text(query), {"name": opened.engine.url.database}))

        settings = DatabaseSettings(database_url=opened.engine.url.render_as_string(hide_password=False))
        async with open_database(settings, application="observer") as other, other.sessions() as observer:
            sleeping = asyncio.create_task(sleep())
            await eventually(is_sleeping)
        for _ in range(3):  # the first cancellation ends the statement, the others interrupt the cleanup
            sleeping.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert opened.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        async with opened.transaction() as session:
            [(after,)] = await run(session, "SELECT pg_backend_pid()")
        assert after != before


class TestRecords:
    async def test_statement_is_counted_and_is_a_span_event(self, opened: Database, spans: Spans) -> None:
        with tracer.start_as_current_span("caller"), DatabaseCost() as cost:
            async with opened.transaction() as session:
                await run_later(session, INSERT, email="ann")
        assert event_names(spans.one("caller")) == ["SELECT", "INSERT person"]
        assert cost.queries == 2
        assert cost.seconds > 0

    @driver_methods
    async def test_statement_has_a_span_when_it_fails(self, opened: Database, spans: Spans, run: Run) -> None:
        with tracer.start_as_current_span("caller"), pytest.raises(DBAPIError):
            async with opened.transaction() as session:
                await run(session, "SELECT 1 / 0 FROM pg_class")
        failed = spans.one("SELECT pg_class")
        assert (failed.attributes or {})["error.type"] == "22012"

    async def test_statement_has_a_span_when_its_span_option_is_set(self, opened: Database, spans: Spans) -> None:
        statement = DriverStatement(text("SELECT 1").execution_options(span=True))
        async with opened.transaction() as session:
            await statement.fetch(session)
        assert (spans.one("SELECT").attributes or {})["db.query.text"] == "SELECT 1"
