"""Calls between services: the context goes along; what went well is an event, what did not is a span."""

from collections.abc import AsyncIterator

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shared.calls import TEMPLATE
from shared.http import open_http_client
from shared.middleware import current_request_id
from testkit.apps import free_port, serve
from testkit.spans import Spans, told

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
        async with open_http_client(url) as client:
            try:
                response = await client.get(path, extensions={TEMPLATE: "/{status}"})
            except httpx.HTTPError:
                response = None
    return response


class TestCall:
    async def test_carries_trace_and_request_id(self, other: str, spans: Spans) -> None:
        response = await called(other, "/200")
        caller = spans.one("caller")
        assert response is not None
        assert caller.context is not None
        assert response.json()["traceparent"].split("-")[2] == format(caller.context.span_id, "016x")
        assert response.json()["x-request-id"] == "r-1"

    async def test_that_went_well_is_an_event(self, other: str, spans: Spans) -> None:
        await called(other, "/200")
        assert told(spans.one("caller")) == ["GET /{status}"]
        assert [span.name for span in spans.finished()] == ["caller"]

    @pytest.mark.parametrize("status", [404, 503])
    async def test_that_was_refused_is_a_span(self, other: str, spans: Spans, status: int) -> None:
        await called(other, f"/{status}")
        refused = spans.one("GET /{status}")
        assert refused.parent == spans.one("caller").context
        assert refused.kind is SpanKind.CLIENT
        assert refused.status.status_code is StatusCode.ERROR
        assert (refused.attributes or {})["error.type"] == str(status)

    async def test_that_nobody_answered_is_a_span_that_says_why(self, spans: Spans) -> None:
        await called(f"http://127.0.0.1:{free_port()}", "/200")
        unanswered = spans.one("GET /{status}")
        assert unanswered.status.status_code is StatusCode.ERROR
        assert (unanswered.attributes or {})["error.type"] in {"ConnectError", "ConnectTimeout"}
        assert unanswered.status.description
