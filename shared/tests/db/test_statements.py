"""Statements are counted, recorded as span events or spans, and logged if they are slow."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import make_url, text

from shared.config import DatabaseSettings, Environment, ServiceSettings
from shared.db.database import open_database
from shared.db.session import SessionDep
from shared.db.statements import summarize_statement
from shared.web.app import build_app
from testkit.apps import http_client, serve
from testkit.spans import Spans, event_names


class Settings(DatabaseSettings, ServiceSettings):
    drain_seconds: float = 0


MARKED_SQL = "SELECT 1 AS name_"
ALL_ARE_SLOW_MS = 0.0001
"""A value of `slow_statement_ms` that every statement exceeds."""

router = APIRouter()


@router.post("/plain")
async def run_two_statements(session: SessionDep) -> None:
    await session.execute(text("SELECT 1 FROM pg_class LIMIT 1"))
    await session.execute(text("SELECT 2 FROM pg_type LIMIT 1"))


@router.post("/marked")
async def run_marked_statement(session: SessionDep) -> None:
    await session.execute(text(MARKED_SQL).execution_options(span=True))


@router.post("/insert_twice/{email}")
async def insert_twice(email: str, session: SessionDep) -> None:
    await session.execute(text("CREATE TEMPORARY TABLE person (email text PRIMARY KEY) ON COMMIT DROP"))
    for _ in range(2):
        await session.execute(text("INSERT INTO person VALUES (:email)"), {"email": email})


@asynccontextmanager
async def run_service(database: str, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service with these changes to its settings, and yield a client."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_database(app.state.settings, application="test") as app.state.database:
            yield

    settings = Settings(database_url=database, **changes)
    app = build_app(name="statements", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        yield client


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    async with run_service(database) as client:
        yield client


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


class TestStatement:
    async def test_statement_is_an_event_of_the_requests_span(self, client: httpx.AsyncClient, spans: Spans) -> None:
        await client.post("/plain")
        assert [span.name for span in spans.finished()] == ["POST /plain"]
        request = spans.one("POST /plain")
        assert event_names(request) == ["SELECT pg_class", "SELECT pg_type"]
        durations = [(event.attributes or {})["hopline.duration_ms"] for event in request.events]
        assert attributes_of(request)["hopline.db.queries"] == 2
        assert attributes_of(request)["hopline.db.duration_ms"] == pytest.approx(sum(durations), abs=0.02)

    async def test_statement_has_a_span_when_it_is_marked(
        self, client: httpx.AsyncClient, spans: Spans, database: str
    ) -> None:
        await client.post("/marked")
        request, statement = spans.one("POST /marked"), spans.one("SELECT")
        assert statement.parent == request.context
        assert statement.kind is SpanKind.CLIENT
        assert statement.start_time is not None
        assert request.start_time is not None
        assert statement.start_time >= request.start_time
        assert attributes_of(statement)["db.system.name"] == "postgresql"
        assert attributes_of(statement)["db.namespace"] == f"{make_url(database).database}|public"
        assert attributes_of(statement)["db.query.text"] == MARKED_SQL
        assert event_names(request) == []

    @pytest.mark.parametrize(("threshold_ms", "records"), [(0, 0), (ALL_ARE_SLOW_MS, 2)])
    async def test_statement_has_a_span_when_it_is_slow_and_no_log_record_when_the_threshold_is_zero(
        self, database: str, spans: Spans, capsys: pytest.CaptureFixture[str], threshold_ms: float, records: int
    ) -> None:
        async with run_service(database, slow_statement_ms=threshold_ms) as client:
            spans.clear()
            capsys.readouterr()
            await client.post("/plain")
        names = [span.name for span in spans.finished()]
        assert names == ["SELECT pg_class", "SELECT pg_type", "POST /plain"]
        assert capsys.readouterr().out.count('"slow_query"') == records

    async def test_statement_has_a_log_record_with_the_trace_when_it_is_slow(
        self, database: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with run_service(database, slow_statement_ms=ALL_ARE_SLOW_MS, log_format="json") as client:
            capsys.readouterr()
            response = await client.post("/marked")
        [record] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "slow_query" in line]
        assert record["trace_id"] == response.headers["traceresponse"].split("-")[1]
        assert record["statement"] == MARKED_SQL
        assert record["level"] == "warning"
        assert record["duration_ms"] > 0

    async def test_statement_has_a_span_without_values_when_it_fails(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        assert (await client.post("/insert_twice/ann@hopline.example")).status_code == 500
        failed = spans.one("INSERT person")
        assert failed.status.status_code is StatusCode.ERROR
        assert attributes_of(failed)["error.type"] == "23505"
        assert attributes_of(failed)["db.response.status_code"] == "23505"
        assert failed.status.description is None
        assert "ann@" not in failed.to_json()


class TestAccessLog:
    @pytest.mark.parametrize(("path", "queries"), [("/plain", 2), ("/marked", 1), ("/nothing", 0)])
    async def test_access_log_has_number_and_duration_of_statements(
        self, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], path: str, queries: int
    ) -> None:
        capsys.readouterr()
        await client.post(path)
        [record] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "http_request" in line]
        assert record["db_queries"] == queries
        assert (record["db_ms"] > 0) is (queries > 0)


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT a.x FROM account AS a JOIN b USING (x)", "SELECT account"),
        ('INSERT INTO "outbox" (id) VALUES (1)', "INSERT outbox"),
        ("UPDATE job SET state = 1 WHERE id = 2 RETURNING id", "UPDATE job"),
        ("DELETE FROM t", "DELETE t"),
        ("SELECT 1 FROM job FOR UPDATE OF job", "SELECT job"),
        ("SELECT 1 FROM job FOR NO KEY UPDATE", "SELECT job"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", "INSERT t"),
        ("WITH a AS (INSERT INTO x VALUES (1)) INSERT INTO y VALUES (2)", "INSERT x INSERT y"),
        ("SHOW max_connections", "SHOW"),
    ],
)
def test_summary_names_the_written_tables_or_the_first_table_that_is_read(statement: str, summary: str) -> None:
    assert summarize_statement(statement) == summary


class TestSqlEcho:
    async def test_every_statement_is_logged_without_values(
        self, database: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with run_service(database, sql_echo=True) as client:
            capsys.readouterr()
            assert (await client.post("/insert_twice/ada@example.com")).status_code == 500
        printed = capsys.readouterr().out
        records = [json.loads(line) for line in printed.splitlines() if '"statement"' in line]
        inserts = [record for record in records if record["statement"].startswith("INSERT INTO person VALUES ($1")]
        assert [record["error_type"] for record in inserts] == [None, "23505"]
        assert all(record["duration_ms"] >= 0 and record["trace_id"] for record in inserts)
        assert "ada@" not in printed


class TestSlowStatements:
    async def test_slow_statements_are_listed_with_their_plans_in_development(self, database: str) -> None:
        development = {"slow_statement_ms": ALL_ARE_SLOW_MS, "environment": Environment.DEVELOPMENT}
        async with run_service(database, **development) as client:
            for path in ("/plain", "/plain", "/insert_twice/ada@example.com"):
                await client.post(path)
            listed = (await client.get("/debug/slow-statements", params={"explain": True})).json()
        by_statement = {slow["statement"]: slow for slow in listed}
        plain = by_statement["SELECT 1 FROM pg_class LIMIT 1"]
        assert plain["count"] == 2
        assert plain["plan"][0].startswith("Limit")
        insert = next(slow for statement, slow in by_statement.items() if statement.startswith("INSERT"))
        assert insert["plan"] == ['no plan: relation "person" does not exist']
