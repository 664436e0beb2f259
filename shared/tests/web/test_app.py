"""What every service does with a request, shown on a small one over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from shared.health import Health
from testkit.apps import http_client, serve
from testkit.spans import Spans
from testkit.tokens import TokenIssuer
from testkit.waiting import PATIENCE_S

USER = "0198b7f0-0000-7000-8000-000000000001"


@pytest.fixture
async def client(small_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(small_app) as url, http_client(url) as client:
        yield client


class TestProblems:
    async def test_a_named_error_is_rendered_with_its_status_and_slug(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/paper")
        assert response.status_code == 409
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json() == {
            "type": "https://hopline.example/problems/out-of-paper",
            "title": "There is no paper left",
            "status": 409,
            "detail": "The tray is empty",
            "instance": "/paper",
            "trace_id": response.headers["traceresponse"].split("-")[1],
        }

    async def test_validation_names_every_field(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/notes/x", json={"copies": 0})
        assert response.status_code == 422
        assert [error["field"] for error in response.json()["errors"]] == ["kind", "text", "copies"]

    async def test_malformed_json_is_a_bad_request(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/notes/1", content='{"text":', headers={"Content-Type": "application/json"})
        assert response.status_code == 400
        assert response.json()["errors"] == [{"field": "body", "message": "JSON decode error"}]

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
    async def test_json_under_another_name_is_told_so(self, client: httpx.AsyncClient, content_type: str) -> None:
        response = await client.post("/notes/1", content='{"text": "hi"}', headers={"Content-Type": content_type})
        assert response.status_code == 415
        assert "Content-Type: application/json" in response.json()["detail"]

    async def test_an_unexpected_exception_hides_its_detail(
        self, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        response = await client.get("/bug")
        assert response.status_code == 500
        assert "secret" not in response.text
        logged = [line for line in capsys.readouterr().out.splitlines() if "unhandled_exception" in line]
        assert response.json()["trace_id"] in logged[0]

    async def test_the_span_tells_an_unexpected_exception_but_nobodys_address(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        await client.get("/bug")
        served = spans.one("GET /bug")
        [raised] = [event for event in served.events if event.name == "exception"]
        assert raised.attributes is not None
        assert raised.attributes["exception.message"] == "a secret detail of [address]"
        assert "shared/tests/conftest.py" in str(raised.attributes["exception.stacktrace"])
        assert "hopline.example" not in str(raised.attributes)

    async def test_a_store_that_is_away_is_503_not_500(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/refused")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/paper", 405)])
    async def test_the_frameworks_own_errors_are_problems_too(
        self, client: httpx.AsyncClient, method: str, path: str, status: int
    ) -> None:
        response = await client.request(method, path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status


class TestBodyLimit:
    TOO_LARGE = b'{"text": "' + b"x" * 70_000 + b'"}'
    JSON = {"Content-Type": "application/json"}  # noqa: RUF012

    async def test_a_declared_excess_is_refused(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/notes/1", content=self.TOO_LARGE, headers=self.JSON)
        assert response.status_code == 413
        assert response.json()["type"].endswith("/payload-too-large")
        assert "x-request-id" in response.headers

    async def test_an_undeclared_excess_is_refused(self, client: httpx.AsyncClient) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield self.TOO_LARGE

        response = await client.post("/notes/1", content=chunks(), headers=self.JSON)
        assert response.status_code == 413
        assert response.json()["type"].endswith("/payload-too-large")

    @pytest.mark.parametrize("deadline", [None, "200"])
    async def test_one_that_does_not_arrive_is_408(
        self, client: httpx.AsyncClient, deadline: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if deadline is None:
            monkeypatch.setattr("shared.body_limit.BODY_SECONDS", 0.2)
        timeout = f"X-Request-Timeout-Ms: {deadline}\r\n" if deadline else ""
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(f"POST /notes/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n{timeout}\r\n{{".encode())
        response = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
        assert response.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in response
        assert b"/problems/request-timeout" in response


class TestRequestContext:
    async def test_every_response_names_its_request_and_trace(self, client: httpx.AsyncClient, spans: Spans) -> None:
        response = await client.post("/notes/7", json={"text": "hello"})
        _version, trace_id, span_id, _flags = response.headers["traceresponse"].split("-")
        [span] = spans.named("POST /notes/{kind}")
        assert format(span.context.trace_id, "032x") == trace_id
        assert format(span.context.span_id, "016x") == span_id
        assert span.attributes is not None
        assert span.attributes["http.route"] == "/notes/{kind}"
        assert len(response.headers["x-request-id"]) == 32

    async def test_a_callers_request_id_is_kept(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/paper", headers={"X-Request-ID": "order-42.retry_1"})
        assert response.headers["x-request-id"] == "order-42.retry_1"

    @pytest.mark.parametrize("forged", ["x" * 129, "a b", '"}{', "ü"])
    async def test_a_strange_request_id_is_replaced(self, client: httpx.AsyncClient, forged: str) -> None:
        response = await client.get("/paper", headers={b"X-Request-ID": forged.encode()})
        assert response.headers["x-request-id"] != forged
        assert len(response.headers["x-request-id"]) == 32

    async def test_the_access_line_joins_request_trace_and_user(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        response = await client.get("/me", headers=token_issuer.headers(USER))
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "http_request" in line]
        [line] = [line for line in lines if line["url.path"] == "/me"]
        assert line["user_id"] == USER
        assert line["http.response.status_code"] == 200
        assert line["service"] == "small"
        assert line["request_id"] == response.headers["x-request-id"]
        assert line["trace_id"] == response.headers["traceresponse"].split("-")[1]

    async def test_probes_make_no_span_and_no_line(
        self, client: httpx.AsyncClient, spans: Spans, capsys: pytest.CaptureFixture[str]
    ) -> None:
        response = await client.get("/health/live")
        assert response.status_code == 200
        _version, trace_id, span_id, flags = response.headers["traceresponse"].split("-")
        assert int(trace_id, 16)
        assert int(span_id, 16)
        assert flags == "00"
        assert [span for span in spans.finished() if "health" in span.name] == []
        assert "/health" not in capsys.readouterr().out


class TestTokens:
    async def test_a_valid_token_tells_who_calls(self, client: httpx.AsyncClient, token_issuer: TokenIssuer) -> None:
        response = await client.get("/me", headers=token_issuer.headers(USER, role="admin"))
        assert response.json() == {"user_id": USER, "role": "admin"}

    async def test_without_a_token_there_is_a_challenge(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/me")
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer realm="hopline"'

    @pytest.mark.parametrize(
        "claims",
        [
            {"lifetime": -60},
            {"aud": "somebody-else"},
            {"iss": "somebody-else"},
            {"sub": "not-a-uuid"},
            {"role": "emperor"},
            {"jti": None},
        ],
        ids=str,
    )
    async def test_a_wrong_token_is_refused(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer, claims: dict[str, object]
    ) -> None:
        sub = claims.pop("sub", USER)
        response = await client.get("/me", headers=token_issuer.headers(sub, **claims))  # type: ignore[arg-type]
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]

    async def test_a_foreign_issuers_signature_is_refused_even_under_our_key_id(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer
    ) -> None:
        for foreign in (TokenIssuer(), TokenIssuer(key_id=token_issuer.key_id)):
            assert (await client.get("/me", headers=foreign.headers(USER))).status_code == 401

    @pytest.mark.parametrize("header", ["Bearer", "Bearer x.y.z", "Basic dTpw", "Bearer e30.e30."])
    async def test_nonsense_is_refused(self, client: httpx.AsyncClient, header: str) -> None:
        assert (await client.get("/me", headers={"Authorization": header})).status_code == 401

    async def test_a_role_can_be_required(self, client: httpx.AsyncClient, token_issuer: TokenIssuer) -> None:
        assert (await client.get("/admin", headers=token_issuer.headers(USER))).status_code == 403
        assert (await client.get("/admin", headers=token_issuer.headers(USER, role="admin"))).status_code == 200


class TestHealth:
    async def test_readiness_asks_every_dependency(self, client: httpx.AsyncClient, small_app: FastAPI) -> None:
        async def well() -> None: ...

        async def broken() -> None:
            raise ConnectionRefusedError("nobody listens")

        health = small_app.state.health
        health.add("store", well)
        assert (await client.get("/health/ready")).json()["status"] == "ready"
        health.add("cache", broken, critical=False)
        degraded = await client.get("/health/ready")
        assert degraded.status_code == 200
        assert degraded.json()["status"] == "degraded"
        assert degraded.json()["dependencies"]["cache"]["status"] == "down"
        assert "nobody listens" in degraded.json()["dependencies"]["cache"]["error"]
        health.add("database", broken)
        not_ready = await client.get("/health/ready")
        assert not_ready.status_code == 503
        assert not_ready.json()["status"] == "not_ready"

    async def test_production_tells_the_log_alone_why_a_dependency_is_down(
        self, client: httpx.AsyncClient, small_app: FastAPI, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reasons = ["nobody listens at db-1.internal", "nobody listens at db-1.internal", "", "db-2.internal is gone"]

        async def probe() -> None:
            if reason := reasons.pop(0):
                raise ConnectionRefusedError(reason)

        small_app.state.health = Health(tells_why=False, started=True)
        small_app.state.health.add("database", probe)
        answers = [(await client.get("/health/ready")).json()["dependencies"]["database"] for _ in list(reasons)]
        assert [answer["error"] for answer in answers] == [
            *("ConnectionRefusedError", "ConnectionRefusedError"),
            *(None, "ConnectionRefusedError"),
        ]
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "dependency_down" in line]
        assert [line["error"] for line in lines] == [
            "ConnectionRefusedError: nobody listens at db-1.internal",
            "ConnectionRefusedError: db-2.internal is gone",
        ]

    async def test_draining_fails_readiness_and_nothing_else(
        self, client: httpx.AsyncClient, small_app: FastAPI
    ) -> None:
        small_app.state.health.draining = True
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/paper")).status_code == 409
