"""Calls between services: the context goes along, and each call has a CLIENT span."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shared.calls import RESEND_COUNT, TEMPLATE
from shared.deadline import within
from shared.http import open_http_client
from shared.middleware import current_request_id
from testkit.apps import free_port, serve
from testkit.metrics import Metrics
from testkit.spans import Spans

tracer = trace.get_tracer(__name__)


async def echo(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.headers), status_code=int(request.path_params["status"]))


@pytest.fixture
async def other() -> AsyncIterator[str]:
    async with serve(Starlette(routes=[Route("/{status}", echo)])) as url:
        yield url


async def called(url: str, path: str) -> httpx.Response | None:
    """Call within a span, `caller`; the answer, None where there was none."""
    response = None
    current_request_id.set("r-1")
    with tracer.start_as_current_span("caller"):
        async with open_http_client(url, to="echo") as client:
            try:
                response = await client.get(path, extensions={TEMPLATE: "/{status}", RESEND_COUNT: 2})
            except httpx.HTTPError:
                response = None
    return response


class TestCall:
    async def test_carries_trace_and_request_id(self, other: str, spans: Spans) -> None:
        response = await called(other, "/200")
        call = spans.one("GET /{status}")
        assert response is not None
        assert response.json()["traceparent"].split("-")[2] == format(call.context.span_id, "016x")
        assert response.json()["x-request-id"] == "r-1"

    async def test_has_a_client_span_that_names_service_and_template(self, other: str, spans: Spans) -> None:
        await called(other, "/200")
        call, url = spans.one("GET /{status}"), httpx.URL(other)
        assert call.kind is SpanKind.CLIENT
        assert call.parent == spans.one("caller").context
        assert dict(call.attributes or {}) == {
            "http.request.method": "GET",
            "http.request.resend_count": 2,
            "http.response.status_code": 200,
            "url.full": f"{other}/200",
            "url.template": "/{status}",
            "service.peer.name": "echo",
            "server.address": url.host,
            "server.port": url.port,
            "network.peer.address": url.host,
            "network.peer.port": url.port,
            "network.protocol.version": "1.1",
        }

    async def test_is_measured(self, other: str, counted: Metrics) -> None:
        await called(other, "/200")
        attributes = {"http.response.status_code": 200, "server.port": httpx.URL(other).port}
        assert counted.value("http.client.request.duration", attributes) == 1

    @pytest.mark.parametrize("status", [404, 503])
    async def test_has_failed_with_an_error_status(self, other: str, spans: Spans, status: int) -> None:
        await called(other, f"/{status}")
        rejected = spans.one("GET /{status}")
        assert rejected.status.status_code is StatusCode.ERROR
        assert (rejected.attributes or {})["error.type"] == str(status)

    async def test_has_failed_without_a_response_and_records_why(self, spans: Spans) -> None:
        await called(f"http://127.0.0.1:{free_port()}", "/200")
        unanswered = spans.one("GET /{status}")
        assert unanswered.status.status_code is StatusCode.ERROR
        assert (unanswered.attributes or {})["error.type"] in {"ConnectError", "ConnectTimeout"}
        assert unanswered.status.description

    async def test_has_failed_when_it_is_cancelled(self, spans: Spans) -> None:
        async def wait(_request: Request) -> JSONResponse:
            await asyncio.Event().wait()
            raise AssertionError

        app = Starlette(routes=[Route("/slow", wait)])
        async with serve(app, shutdown_timeout=0) as url, open_http_client(url) as client:
            with pytest.raises(TimeoutError):
                async with within(0.1):
                    await client.get("/slow")
        cancelled = spans.one("GET /slow")
        assert cancelled.status.status_code is StatusCode.ERROR
        assert (cancelled.attributes or {})["error.type"] == "CancelledError"
