"""The fixtures and functions of the testkit: servers, databases, spans, tokens, waiting."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import jwt
import pytest
from opentelemetry import trace
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.apps import http_client, serve, serve_all
from testkit.databases import execute, migrate
from testkit.servers import StartPostgres, StartValkey
from testkit.spans import Spans
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually


class TestDatabase:
    @pytest.mark.parametrize("attempt", [1, 2])
    async def test_database_is_empty_for_every_test(self, database: str, attempt: int) -> None:
        await execute(database, "CREATE TABLE seen (n int)")

    async def test_error_contains_the_output_when_a_migration_fails(self, database: str, tmp_path: Path) -> None:
        ini = tmp_path / "alembic.ini"
        ini.write_text("[alembic]\n")
        with pytest.raises(RuntimeError, match="script_location"):
            migrate(ini, database)


class TestRedis:
    @pytest.mark.parametrize("attempt", [1, 2])
    async def test_redis_is_empty_for_every_test(self, redis_url: str, attempt: int) -> None:
        async with Redis.from_url(redis_url) as client:
            assert await client.incr("seen") == 1


class TestSeparateServers:
    async def test_valkey_keeps_acknowledged_writes_when_it_is_killed(self, start_valkey: StartValkey) -> None:
        server = start_valkey(append_only=True)
        async with Redis.from_url(server.url) as client:
            await client.set("kept", "yes")
        server.kill()
        server.start()
        async with Redis.from_url(server.url, decode_responses=True) as client:
            assert await client.get("kept") == "yes"

    async def test_postgres_recovers_when_it_stops_immediately(self, start_postgres: StartPostgres) -> None:
        server = start_postgres()
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept (n int)")
        connection.terminate()
        server.immediate_stop()
        server.start()
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT count(*) FROM kept") == 0
        await connection.close()


class TestServe:
    async def test_application_responds_when_its_lifespan_has_started(self) -> None:
        async def hello(request: Request) -> Response:
            return JSONResponse({"caller": request.headers["authorization"]})

        async with serve(Starlette(routes=[Route("/", hello)])) as url, http_client(url, token="t") as client:
            response = await client.get("/")
        assert response.json() == {"caller": "Bearer t"}
        assert "date" in response.headers

    async def test_error_is_raised_when_the_lifespan_fails(self) -> None:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            raise ValueError("no settings")
            yield

        with pytest.raises(RuntimeError, match="failed to start"):
            async with serve(Starlette(lifespan=lifespan)):
                pass

    async def test_started_applications_are_stopped_when_another_fails_to_start(self) -> None:
        events: list[str] = []

        @asynccontextmanager
        async def succeed(app: Starlette) -> AsyncIterator[None]:
            events.append("started")
            yield
            events.append("stopped")

        @asynccontextmanager
        async def fail(app: Starlette) -> AsyncIterator[None]:
            raise ValueError("no settings")
            yield

        with pytest.raises(RuntimeError, match="failed to start"):
            async with serve_all([Starlette(lifespan=lifespan) for lifespan in (succeed, fail, succeed)]):
                pass
        assert events == ["started", "stopped"]


class TestTokens:
    async def test_token_is_verified_by_the_served_keys(self, token_issuer: TokenIssuer) -> None:
        token = token_issuer.issue("u1", role="admin")
        async with serve(token_issuer.jwks_app) as url, http_client(url) as client:
            keys = jwt.PyJWKSet.from_dict((await client.get("/.well-known/jwks.json")).json())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="hopline", issuer="hopline-users")
        assert (claims["sub"], claims["role"]) == ("u1", "admin")
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(TokenIssuer().issue("u1"), key, algorithms=["EdDSA"], audience="hopline")

    async def test_token_is_expired_when_its_lifetime_is_negative(self, token_issuer: TokenIssuer) -> None:
        public = token_issuer.private_key.public_key()
        with pytest.raises(jwt.ExpiredSignatureError):
            jwt.decode(token_issuer.issue("u", lifetime=-5), public, algorithms=["EdDSA"], audience="hopline")


class TestSpans:
    @pytest.mark.parametrize("attempt", [1, 2])
    async def test_spans_of_other_tests_are_not_included(self, spans: Spans, attempt: int) -> None:
        with trace.get_tracer("test").start_as_current_span("work"):
            pass
        assert spans.one("work").name == "work"
        with pytest.raises(AssertionError, match="work"):
            spans.one("other")


class TestEventually:
    async def test_first_truthy_value_is_returned(self) -> None:
        numbers = itertools.count()
        assert await eventually(lambda: next(numbers)) == 1

    async def test_predicate_can_be_a_coroutine_function(self) -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, event.set)

        async def is_set() -> bool:
            return event.is_set()

        assert await eventually(is_set)

    async def test_error_contains_the_condition_when_it_is_not_met(self) -> None:
        with pytest.raises(AssertionError, match="for the impossible; last seen: 0"):
            await eventually(lambda: 0, timeout=0.01, what="the impossible")

    async def test_predicate_is_cancelled_at_the_timeout(self) -> None:
        never = asyncio.Event()
        async with asyncio.timeout(10):
            with pytest.raises(AssertionError, match="for an event") as failed:
                await eventually(never.wait, timeout=0.05, what="an event")
        assert isinstance(failed.value.__cause__, TimeoutError)

    async def test_other_errors_of_the_predicate_are_raised(self) -> None:
        async def fail() -> bool:
            raise TimeoutError("of the predicate")

        with pytest.raises(TimeoutError, match="of the predicate"):
            await eventually(fail, timeout=10)

    async def test_cause_is_the_assertion_that_failed_last(self) -> None:
        failures = [AssertionError("first"), AssertionError("second")]

        def fail() -> bool:
            raise failures.pop(0) if len(failures) > 1 else failures[0]

        with pytest.raises(AssertionError, match="second") as failed:
            await eventually(fail, timeout=0.05)
        assert failed.value.__cause__ is failures[0]
