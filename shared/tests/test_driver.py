"""A statement that goes past SQLAlchemy belongs to its session, fails like the others, and is accounted for."""

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
from shared.settings import DatabaseSettings
from shared.statements import database_cost
from testkit.spans import Spans, told
from testkit.waiting import eventually

Run = Callable[..., Awaitable[Any]]
"""Runs SQL in a session, with parameters by name."""

tracer = trace.get_tracer(__name__)


async def by_driver(session: AsyncSession, sql: str, **values: object) -> Any:
    return await DriverStatement(text(sql)).fetch(session, **values)


async def by_session(session: AsyncSession, sql: str, **values: object) -> Any:
    return (await session.execute(text(sql), values)).all()


both_ways = pytest.mark.parametrize("run", [by_driver, by_session])


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


ADD = "INSERT INTO person VALUES (:email) RETURNING email"


class TestTransaction:
    async def test_ends_as_the_sessions_does(self, opened: Database) -> None:
        async with opened.transaction() as session:
            [(email,)] = await by_driver(session, ADD, email="ann")
            await session.execute(text(ADD), {"email": "bob"})
            await by_driver(session, ADD, email="cy")
        assert email == "ann"
        async with opened.sessions() as session:
            await by_driver(session, ADD, email="dee")
            await session.rollback()
        assert await emails(opened) == ["ann", "bob", "cy"]

    async def test_is_undone_to_a_savepoint(self, opened: Database) -> None:
        async with opened.transaction() as session:
            await by_driver(session, ADD, email="ann")
            savepoint = await session.begin_nested()
            await by_driver(session, ADD, email="bob")
            await savepoint.rollback()
            await by_driver(session, ADD, email="cy")
        assert await emails(opened) == ["ann", "cy"]

    async def test_is_a_new_one_after_a_commit_in_the_same_session(self, opened: Database) -> None:
        async with opened.sessions() as session:
            await by_driver(session, ADD, email="ann")
            await session.commit()
            await by_driver(session, ADD, email="bob")
            await session.rollback()
        assert await emails(opened) == ["ann"]

    async def test_knows_the_deadline(self, opened: Database) -> None:
        with deadline_in(5):
            async with opened.transaction() as session:
                [(limit,)] = await by_driver(session, "SHOW statement_timeout")
        assert 4000 < int(limit.removesuffix("ms")) <= 5000


@both_ways
class TestFailure:
    async def test_is_an_exception_of_sqlalchemys_without_anybodys_data(self, opened: Database, run: Run) -> None:
        async with opened.sessions() as session:
            await run(session, ADD, email="ann@hopline.example")
            with pytest.raises(IntegrityError) as failed:
                await run(session, ADD, email="ann@hopline.example")
        assert getattr(failed.value.orig, "sqlstate", None) == "23505"
        assert not failed.value.connection_invalidated
        assert "ann@" not in str(failed.value)
        assert await emails(opened) == []

    async def test_of_the_connection_costs_no_other_transaction(self, opened: Database, run: Run) -> None:
        with pytest.raises(DBAPIError) as lost:
            async with opened.transaction() as session:
                await run(session, "SELECT pg_terminate_backend(pg_backend_pid())")
        assert lost.value.connection_invalidated
        assert await emails(opened) == []

    async def test_by_cancelling_gives_the_connection_up(self, opened: Database, run: Run) -> None:
        async with opened.transaction() as session:
            [(before,)] = await run(session, "SELECT pg_backend_pid()")

        async def sleep() -> None:
            async with opened.transaction() as session:
                await run(session, "SELECT pg_sleep(60)")

        sleeping = asyncio.create_task(sleep())
        await eventually(lambda: opened.engine.pool.checkedout() == 1)  # type: ignore[attr-defined]
        for _ in range(3):  # again while it is being undone
            sleeping.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert opened.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        async with opened.transaction() as session:
            [(after,)] = await run(session, "SELECT pg_backend_pid()")
        assert after != before


class TestAccount:
    async def test_has_what_went_well(self, opened: Database, spans: Spans) -> None:
        with tracer.start_as_current_span("asker"), database_cost() as cost:
            async with opened.transaction() as session:
                await by_driver(session, ADD, email="ann")
        assert told(spans.one("asker")) == ["INSERT person"]
        assert cost.queries == 1
        assert cost.seconds > 0

    async def test_has_what_failed(self, opened: Database, spans: Spans) -> None:
        with tracer.start_as_current_span("asker"), database_cost() as cost, pytest.raises(DBAPIError):
            async with opened.transaction() as session:
                await by_driver(session, "SELECT 1 / 0 FROM pg_class")
        failed = spans.one("SELECT pg_class")
        assert (failed.attributes or {})["error.type"] == "22012"
        assert cost.queries == 1


async def test_a_decision_has_its_span(opened: Database, spans: Spans) -> None:
    decide = DriverStatement(text("SELECT 1").execution_options(span="decide something"))
    async with opened.transaction() as session:
        await decide.fetch(session)
    assert (spans.one("decide something").attributes or {})["db.query.text"] == "SELECT 1"
