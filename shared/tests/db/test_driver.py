"""A statement run by asyncpg shares the session's transaction, its error classes and its records of statements."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Database, open_database
from shared.deadline import deadline_in
from shared.driver import DriverStatement
from shared.errors import DeadlineSpent, Unavailable, unexpected
from shared.settings import DatabaseSettings
from shared.statements import database_cost
from testkit.spans import Spans, told
from testkit.waiting import eventually

Run = Callable[..., Awaitable[Any]]
"""Runs SQL in a session, with parameters by name."""

ADD = "INSERT INTO person VALUES (:email) RETURNING email"

tracer = trace.get_tracer(__name__)


async def by_cursor(session: AsyncSession, sql: str, **values: object) -> Any:
    """The first statement of the transaction."""
    return await DriverStatement(text(sql)).fetch(session, **values)


async def by_driver(session: AsyncSession, sql: str, **values: object) -> Any:
    """A later statement of the transaction."""
    await DriverStatement(text("SELECT 1")).fetch(session)
    return await DriverStatement(text(sql)).fetch(session, **values)


async def by_session(session: AsyncSession, sql: str, **values: object) -> Any:
    return (await session.execute(text(sql), values)).all()


each_way = pytest.mark.parametrize("run", [by_cursor, by_driver, by_session])
both_ways = pytest.mark.parametrize("run", [by_cursor, by_driver])


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Database]:
    async with open_database(
        DatabaseSettings(database_url=database, database_pool_size=1, database_max_overflow=0), application="test"
    ) as opened:
        async with opened.transaction() as session:
            await session.execute(text("CREATE TABLE person (email text PRIMARY KEY)"))
        yield opened


async def emails(opened: Database) -> list[str]:
    async with opened.transaction() as session:
        return list((await session.scalars(text("SELECT email FROM person ORDER BY email"))).all())


class TestTransaction:
    @both_ways
    async def test_commits_and_rolls_back_with_the_session(self, opened: Database, run: Run) -> None:
        async with opened.transaction() as session:
            [(email,)] = await run(session, ADD, email="ann")
            await session.execute(text(ADD), {"email": "bob"})
            await run(session, ADD, email="cy")
        assert email == "ann"
        async with opened.sessions() as session:
            await run(session, ADD, email="dee")
            await session.rollback()
        assert await emails(opened) == ["ann", "bob", "cy"]

    @both_ways
    async def test_joins_the_transaction_that_the_session_has_begun(self, opened: Database, run: Run) -> None:
        async with opened.sessions() as session:
            await session.execute(text(ADD), {"email": "ann"})
            await run(session, ADD, email="bob")
            await session.rollback()
        assert await emails(opened) == []

    @both_ways
    async def test_rolls_back_to_a_savepoint(self, opened: Database, run: Run) -> None:
        async with opened.transaction() as session:
            await run(session, ADD, email="ann")
            savepoint = await session.begin_nested()
            await run(session, ADD, email="bob")
            await savepoint.rollback()
            await run(session, ADD, email="cy")
        assert await emails(opened) == ["ann", "cy"]

    @both_ways
    async def test_begins_a_new_one_after_a_commit_of_the_same_session(self, opened: Database, run: Run) -> None:
        async with opened.sessions() as session:
            await run(session, ADD, email="ann")
            await session.commit()
            await run(session, ADD, email="bob")
            await session.rollback()
        assert await emails(opened) == ["ann"]

    @both_ways
    async def test_limits_statements_to_the_deadline(self, opened: Database, run: Run) -> None:
        with deadline_in(5):
            async with opened.transaction() as session:
                [(limit,)] = await run(session, "SHOW statement_timeout")
        assert 4000 < int(limit.removesuffix("ms")) <= 5000


@each_way
class TestFailure:
    async def test_raises_sqlalchemys_exception_without_the_values(self, opened: Database, run: Run) -> None:
        async with opened.transaction() as session:
            await run(session, ADD, email="ann@hopline.example")
        with pytest.raises(IntegrityError) as failed:
            async with opened.transaction() as session:
                await run(session, ADD, email="ann@hopline.example")
        assert getattr(failed.value.orig, "sqlstate", None) == "23505"
        assert not failed.value.connection_invalidated
        assert "ann@" not in f"{failed.value} {failed.value.orig}"
        assert await emails(opened) == ["ann@hopline.example"]

    async def test_invalidates_a_lost_connection_and_becomes_503(self, opened: Database, run: Run) -> None:
        with pytest.raises(DBAPIError) as lost:
            async with opened.transaction() as session:
                await run(session, "SELECT pg_terminate_backend(pg_backend_pid())")
        assert lost.value.connection_invalidated
        assert isinstance(unexpected(lost.value), Unavailable)
        assert await emails(opened) == []

    async def test_becomes_504_when_the_deadline_ends_the_statement(self, opened: Database, run: Run) -> None:
        with deadline_in(0.2), pytest.raises(DBAPIError) as late:
            async with opened.transaction() as session:
                await run(session, "SELECT pg_sleep(60)")
        assert isinstance(unexpected(late.value), DeadlineSpent)
        assert not late.value.connection_invalidated

    async def test_discards_the_connection_when_the_statement_is_cancelled(self, opened: Database, run: Run) -> None:
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
        for _ in range(3):  # again during the clean-up
            sleeping.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert opened.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        async with opened.transaction() as session:
            [(after,)] = await run(session, "SELECT pg_backend_pid()")
        assert after != before


class TestRecords:
    async def test_count_each_statement_and_add_an_event_to_the_span(self, opened: Database, spans: Spans) -> None:
        with tracer.start_as_current_span("asker"), database_cost() as cost:
            async with opened.transaction() as session:
                await by_driver(session, ADD, email="ann")
        assert told(spans.one("asker")) == ["SELECT", "INSERT person"]
        assert cost.queries == 2
        assert cost.seconds > 0

    @both_ways
    async def test_have_a_span_for_a_failed_statement(self, opened: Database, spans: Spans, run: Run) -> None:
        with tracer.start_as_current_span("asker"), pytest.raises(DBAPIError):
            async with opened.transaction() as session:
                await run(session, "SELECT 1 / 0 FROM pg_class")
        failed = spans.one("SELECT pg_class")
        assert (failed.attributes or {})["error.type"] == "22012"

    async def test_have_a_span_for_a_named_statement(self, opened: Database, spans: Spans) -> None:
        decide = DriverStatement(text("SELECT 1").execution_options(span=True))
        async with opened.transaction() as session:
            await decide.fetch(session)
        assert (spans.one("SELECT").attributes or {})["db.query.text"] == "SELECT 1"
