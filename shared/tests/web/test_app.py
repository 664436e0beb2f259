"""The behaviour that all services share, tested on a small service over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from shared.web.request_body import RequestBodyMiddleware
from testkit.apps import http_client, serve
from testkit.connections import close_connection
from testkit.spans import Spans
from testkit.tokens import TokenIssuer
from testkit.waiting import TIMEOUT_S

USER = "0198b7f0-0000-7000-8000-000000000001"


@pytest.fixture
async def client(small_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(small_app) as url, http_client(url) as client:
        yield client


class TestProblems:
    async def test_error_class_is_rendered_with_its_status_and_slug(self, client: httpx.AsyncClient) -> None:
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

    async def test_problem_has_every_invalid_field(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/notes/x", json={"copies": 0})
        assert response.status_code == 422
        assert [error["field"] for error in response.json()["errors"]] == ["kind", "text", "copies"]

    async def test_response_is_400_when_json_is_malformed(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/notes/1", content='{"text":', headers={"Content-Type": "application/json"})
        assert response.status_code == 400
        assert response.json()["errors"] == [{"field": "body", "message": "JSON decode error"}]

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "model/gltf+json"])
    async def test_response_is_415_when_the_media_type_is_not_json(
        self, client: httpx.AsyncClient, content_type: str
    ) -> None:
        response = await client.post("/notes/1", content='{"text": "hi"}', headers={"Content-Type": content_type})
        assert response.status_code == 415
        assert "Content-Type: application/json" in response.json()["detail"]

    async def test_response_has_the_trace_id_but_not_the_message_of_an_unexpected_exception(
        self, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        response = await client.get("/bug")
        assert response.status_code == 500
        assert "secret" not in response.text
        [logged] = [line for line in capsys.readouterr().out.splitlines() if "unhandled_exception" in line]
        assert response.json()["trace_id"] in logged

    async def test_span_records_an_unexpected_exception_without_addresses(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        await client.get("/bug")
        served = spans.one("GET /bug")
        [recorded] = [event for event in served.events if event.name == "exception"]
        assert recorded.attributes is not None
        assert recorded.attributes["exception.message"] == "a secret detail of [address]"
        assert "shared/tests/conftest.py" in str(recorded.attributes["exception.stacktrace"])
        assert "hopline.example" not in str(recorded.attributes)

    async def test_response_is_503_when_a_store_is_unreachable(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/unreachable")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/paper", 405)])
    async def test_errors_of_the_framework_are_problems(
        self, client: httpx.AsyncClient, method: str, path: str, status: int
    ) -> None:
        response = await client.request(method, path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status


class TestBodyLimit:
    TOO_LARGE = b'{"text": "' + b"x" * 70_000 + b'"}'
    JSON = {"Content-Type": "application/json"}  # noqa: RUF012

    async def test_response_is_413_when_content_length_is_too_large(self, client: httpx.AsyncClient) -> None:
        response = await client.post("/notes/1", content=self.TOO_LARGE, headers=self.JSON)
        assert response.status_code == 413
        assert response.json()["type"].endswith("/payload-too-large")
        assert "x-request-id" in response.headers

    async def test_response_is_413_when_a_chunked_body_is_too_large(self, client: httpx.AsyncClient) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield self.TOO_LARGE

        response = await client.post("/notes/1", content=chunks(), headers=self.JSON)
        assert response.status_code == 413
        assert response.json()["type"].endswith("/payload-too-large")

    async def test_response_is_408_when_the_body_does_not_arrive_before_the_deadline(
        self, client: httpx.AsyncClient
    ) -> None:
        self._assert_request_timeout(await self._send_incomplete_body(client, "X-Request-Timeout-Ms: 200\r\n"))

    async def test_response_is_408_when_the_body_does_not_arrive_and_there_is_no_deadline(
        self, small_app: FastAPI
    ) -> None:
        # Runs before the service's own middleware, whose timeout is too long for a test.
        small_app.add_middleware(RequestBodyMiddleware, max_bytes=1000, timeout_s=0.2)
        async with serve(small_app) as url, http_client(url) as client:
            self._assert_request_timeout(await self._send_incomplete_body(client))

    async def _send_incomplete_body(self, client: httpx.AsyncClient, headers: str = "") -> bytes:
        """Send one byte of a body of 100 bytes, and return the response."""
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(f"POST /notes/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n{headers}\r\n{{".encode())
        response = await asyncio.wait_for(reader.read(), TIMEOUT_S)
        await close_connection(writer)
        return response

    def _assert_request_timeout(self, response: bytes) -> None:
        assert response.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in response
        assert b"/problems/request-timeout" in response


class TestRequestContext:
    async def test_every_response_has_the_ids_of_request_and_trace(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        response = await client.post("/notes/7", json={"text": "hello"})
        _version, trace_id, span_id, _flags = response.headers["traceresponse"].split("-")
        [span] = spans.named("POST /notes/{kind}")
        assert format(span.context.trace_id, "032x") == trace_id
        assert format(span.context.span_id, "016x") == span_id
        assert span.attributes is not None
        assert span.attributes["http.route"] == "/notes/{kind}"
        assert len(response.headers["x-request-id"]) == 32

    async def test_request_id_of_the_caller_is_kept(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/paper", headers={"X-Request-ID": "order-42.retry_1"})
        assert response.headers["x-request-id"] == "order-42.retry_1"

    @pytest.mark.parametrize("malformed", ["x" * 129, "a b", '"}{', "ü"])
    async def test_request_id_is_replaced_when_it_is_malformed(self, client: httpx.AsyncClient, malformed: str) -> None:
        response = await client.get("/paper", headers={b"X-Request-ID": malformed.encode()})
        assert response.headers["x-request-id"] != malformed
        assert len(response.headers["x-request-id"]) == 32

    async def test_access_log_record_has_the_ids_of_request_trace_and_user(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        response = await client.get("/me", headers=token_issuer.headers(USER))
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "http_request" in line]
        [record] = [record for record in records if record["url.path"] == "/me"]
        assert record["user_id"] == USER
        assert record["http.response.status_code"] == 200
        assert record["service"] == "small"
        assert record["request_id"] == response.headers["x-request-id"]
        assert record["trace_id"] == response.headers["traceresponse"].split("-")[1]

    async def test_probes_have_no_span_and_no_access_log_record(
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
    async def test_valid_token_identifies_the_caller(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer
    ) -> None:
        response = await client.get("/me", headers=token_issuer.headers(USER, role="admin"))
        assert response.json() == {"user_id": USER, "role": "admin"}

    async def test_response_has_a_challenge_when_the_token_is_missing(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/me")
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer realm="hopline"'

    @pytest.mark.parametrize(
        "claims",
        [
            {"lifetime": -60},
            {"aud": "another-audience"},
            {"iss": "another-issuer"},
            {"sub": "not-a-uuid"},
            {"role": "unknown"},
            {"jti": None},
        ],
        ids=str,
    )
    async def test_token_is_rejected_when_a_claim_is_invalid(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer, claims: dict[str, object]
    ) -> None:
        sub, others = claims.get("sub", USER), {name: value for name, value in claims.items() if name != "sub"}
        response = await client.get("/me", headers=token_issuer.headers(sub, **others))  # type: ignore[arg-type]
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]

    async def test_token_is_rejected_when_another_issuer_signed_it(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer
    ) -> None:
        for other_issuer in (TokenIssuer(), TokenIssuer(key_id=token_issuer.key_id)):
            assert (await client.get("/me", headers=other_issuer.headers(USER))).status_code == 401

    @pytest.mark.parametrize("header", ["Bearer", "Bearer x.y.z", "Basic dTpw", "Bearer e30.e30."])
    async def test_response_is_401_when_the_header_is_malformed(self, client: httpx.AsyncClient, header: str) -> None:
        assert (await client.get("/me", headers={"Authorization": header})).status_code == 401

    async def test_response_is_403_only_when_the_caller_is_not_an_admin(
        self, client: httpx.AsyncClient, token_issuer: TokenIssuer
    ) -> None:
        assert (await client.get("/admin", headers=token_issuer.headers(USER))).status_code == 403
        assert (await client.get("/admin", headers=token_issuer.headers(USER, role="admin"))).status_code == 200
