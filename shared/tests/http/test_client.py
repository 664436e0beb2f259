"""Calls between services carry the context of the request, and each call has a CLIENT span."""

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

from shared.context import RequestContext, enforce_deadline, set_context
from shared.http.client import open_http_client
from shared.http.spans import RESEND_COUNT, TEMPLATE, instrument_client, instrument_transport
from testkit.apps import free_port, serve
from testkit.metrics import RecordedMetrics
from testkit.spans import Spans

tracer = trace.get_tracer(__name__)


async def echo(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.headers), status_code=int(request.path_params["status"]))


@pytest.fixture
async def echo_url() -> AsyncIterator[str]:
    async with serve(Starlette(routes=[Route("/{status}", echo)])) as url:
        yield url


async def send_request(url: str, path: str) -> httpx.Response | None:
    """Send a request within the span `caller`; return the response, or None if the request failed."""
    set_context(RequestContext(request_id="r-1"))
    with tracer.start_as_current_span("caller"):
        async with open_http_client(url, to="echo") as client:
            try:
                return await client.get(path, extensions={TEMPLATE: "/{status}", RESEND_COUNT: 2})
            except httpx.HTTPError:
                return None


class TestCall:
    async def test_call_carries_trace_and_request_id(self, echo_url: str, spans: Spans) -> None:
        response = await send_request(echo_url, "/200")
        call = spans.one("GET /{status}")
        assert response is not None
        assert response.json()["traceparent"].split("-")[2] == format(call.context.span_id, "016x")
        assert response.json()["x-request-id"] == "r-1"

    async def test_call_has_a_client_span_with_service_and_template(self, echo_url: str, spans: Spans) -> None:
        await send_request(echo_url, "/200")
        call, url = spans.one("GET /{status}"), httpx.URL(echo_url)
        assert call.kind is SpanKind.CLIENT
        assert call.parent == spans.one("caller").context
        assert dict(call.attributes or {}) == {
            "http.request.method": "GET",
            "http.request.resend_count": 2,
            "http.response.status_code": 200,
            "url.full": f"{echo_url}/200",
            "url.template": "/{status}",
            "service.peer.name": "echo",
            "server.address": url.host,
            "server.port": url.port,
            "network.peer.address": url.host,
            "network.peer.port": url.port,
            "network.protocol.version": "1.1",
        }

    async def test_duration_of_a_call_is_recorded(self, echo_url: str, metrics: RecordedMetrics) -> None:
        await send_request(echo_url, "/200")
        attributes = {"http.response.status_code": 200, "server.port": httpx.URL(echo_url).port}
        assert metrics.value("http.client.request.duration", attributes) == 1

    @pytest.mark.parametrize("status", [404, 503])
    async def test_span_has_status_error_when_the_response_is_an_error(
        self, echo_url: str, spans: Spans, status: int
    ) -> None:
        await send_request(echo_url, f"/{status}")
        rejected = spans.one("GET /{status}")
        assert rejected.status.status_code is StatusCode.ERROR
        assert (rejected.attributes or {})["error.type"] == str(status)
        assert rejected.status.description is None

    async def test_span_has_status_error_and_the_exception_when_there_is_no_response(self, spans: Spans) -> None:
        await send_request(f"http://127.0.0.1:{free_port()}", "/200")
        failed = spans.one("GET /{status}")
        assert failed.status.status_code is StatusCode.ERROR
        assert (failed.attributes or {})["error.type"] in {"ConnectError", "ConnectTimeout"}
        [recorded] = failed.events
        attributes = recorded.attributes or {}
        assert set(attributes) == {"exception.type", "exception.message", "exception.stacktrace"}
        error_type, message = attributes["exception.type"], attributes["exception.message"]
        assert isinstance(error_type, str)
        assert isinstance(message, str)
        assert failed.status.description == f"{error_type.rpartition('.')[2]}: {message}"

    async def test_span_has_a_redacted_exception_with_an_instrumented_client_and_transport(self, spans: Spans) -> None:
        class FailingTransport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                raise httpx.ConnectError("cannot reach ann@hopline.example", request=request)

        client = httpx.AsyncClient(transport=FailingTransport())
        instrument_client(client, service="echo")
        transport = instrument_transport(FailingTransport(), service="echo")
        async with client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://echo.example/client")
        with pytest.raises(httpx.ConnectError):
            await transport.handle_async_request(httpx.Request("GET", "http://echo.example/transport"))
        for name in ("GET /client", "GET /transport"):
            failed = spans.one(name)
            assert failed.status.description == "ConnectError: cannot reach [address]"
            [recorded] = failed.events
            assert "hopline.example" not in str(recorded.attributes)

    async def test_span_has_status_error_when_the_call_is_cancelled(self, spans: Spans) -> None:
        async def wait(_request: Request) -> JSONResponse:
            await asyncio.Event().wait()
            raise AssertionError("the event is never set")

        app = Starlette(routes=[Route("/slow", wait)])
        async with serve(app, shutdown_timeout=0) as url, open_http_client(url) as client:
            with pytest.raises(TimeoutError):
                async with enforce_deadline(0.1):
                    await client.get("/slow")
        cancelled = spans.one("GET /slow")
        assert cancelled.status.status_code is StatusCode.ERROR
        assert cancelled.status.description is None
        assert (cancelled.attributes or {})["error.type"] == "CancelledError"
