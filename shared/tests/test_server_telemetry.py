"""Our server spans and durations against FastAPI's own: the same requests must be told in the same words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, Request, Response
from fastapi.telemetry import TelemetryConfig
from opentelemetry import baggage
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from shared.middleware import RequestContext, UnexpectedErrors
from testkit.apps import http_client, serve
from testkit.metrics import Metrics
from testkit.spans import Spans
from testkit.waiting import eventually

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}

router = APIRouter()


@router.get("/notes/{number}")
async def note(number: int) -> dict[str, Any]:
    return {"number": number, "baggage": dict(baggage.get_all())}


@router.get("/files/{path:path}")
async def file(path: str) -> str:
    return path


@router.patch("/wait")
async def wait(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(request.app.state.released.wait)
    request.app.state.asked.set()
    await request.app.state.answer.wait()
    return "waited"


@router.get("/away")
async def away() -> Response:
    return Response(status_code=503)


@router.get("/bug")
async def bug() -> None:
    raise LookupError("nothing there")


@router.get("/broken")
async def broken() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("no second")

    return StreamingResponse(pieces())


@router.get("/long")
async def long() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"

    return StreamingResponse(pieces())


def application(telemetry: TelemetryConfig) -> FastAPI:
    """Routes of its own, included ones and an application mounted, which has some of them again."""
    app, mounted = FastAPI(telemetry=telemetry), FastAPI()
    mounted.include_router(router)
    app.include_router(router)
    app.include_router(router, prefix="/more")
    app.mount("/v2", mounted)
    for each in (app, mounted):
        each.add_middleware(UnexpectedErrors)
    return app


REQUESTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "a route": ("GET", "/notes/1", {}),
    "an included route": ("GET", "/more/notes/1", {}),
    "a mounted route": ("GET", "/v2/notes/1", {}),
    "a path": ("GET", "/files/a/b", {}),
    "a query": ("GET", "/notes/1?limit=5&sort=name", {}),
    "a secret query": ("GET", "/notes/1?sig=abc&x=a%20b&X-Amz-Signature=", {}),
    "a secret that hides": ("GET", "/notes/1?%73ig=abc", {}),
    "nothing there": ("GET", "/nothing", {}),
    "nothing mounted there": ("GET", "/v2/nothing", {}),
    "another method": ("DELETE", "/notes/1", {}),
    "an unusual method": ("PROPFIND", "/notes/1", {}),
    "an invalid parameter": ("GET", "/notes/x", {}),
    "a failure": ("GET", "/away", {}),
    "a bug": ("GET", "/bug", {}),
    "an answer broken off": ("GET", "/broken", {}),
    "an answer in pieces": ("GET", "/long", {}),
    "a trace": ("GET", "/notes/1", {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}),
    "an unsampled trace": ("GET", "/notes/1", {"traceparent": TRACEPARENT.removesuffix("01") + "00"}),
    "a broken trace": ("GET", "/notes/1", {"traceparent": "00-nonsense"}),
    "no port": ("GET", "/notes/1", {"host": "shop.example"}),
    "no name": ("GET", "/notes/1", {"host": "[::1]:90"}),
    "nonsense for a host": ("GET", "/notes/1", {"host": "a/b:c"}),
}


class Theirs:
    """What FastAPI's telemetry told."""

    def __init__(self) -> None:
        self.exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider([reader], shutdown_on_exit=False)
        self.config: TelemetryConfig = {"logs": False, "tracer_provider": tracers, "meter_provider": meters}
        self.config["operation_spans"] = False
        self.counted = Metrics(reader, ours=False)


def described(spans: tuple[ReadableSpan, ...]) -> list[Any]:
    return [
        (
            span.name,
            span.kind,
            span.parent,
            dict(span.attributes or {}),
            span.status.status_code,
            span.status.description,
            span.context.trace_flags,
            span.context.trace_state,
        )
        for span in spans
    ]


@pytest.fixture
def theirs() -> Theirs:
    return Theirs()


@pytest.fixture
async def both(theirs: Theirs) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    ours = application(OFF)
    ours.add_middleware(RequestContext)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serve(app)) for app in (ours, application(theirs.config))]
        yield tuple([await stack.enter_async_context(http_client(url)) for url in urls])  # type: ignore[misc]


async def ask(client: httpx.AsyncClient, request: str) -> None:
    method, path, headers = REQUESTS[request]
    try:
        await client.request(method, path, headers={"host": "shop.example:8443", **headers})
    except httpx.RemoteProtocolError:
        assert path == "/broken"


class TestAgainstFastApi:
    async def test_the_same_requests_leave_the_same_behind(
        self, both: tuple[httpx.AsyncClient, httpx.AsyncClient], theirs: Theirs, spans: Spans, counted: Metrics
    ) -> None:
        for request in REQUESTS:
            with capture_logs():
                for client in both:
                    await ask(client, request)
            told = described(spans.finished())
            assert (request, told) == (request, described(theirs.exporter.get_finished_spans()))
            spans.clear()
            theirs.exporter.clear()
        measured, ours = theirs.counted.since(), counted.since()
        assert measured
        assert {point: ours.get(point) for point in measured} == measured


class TestServedRequest:
    @pytest.fixture
    def app(self) -> FastAPI:
        app = application(OFF)
        app.add_middleware(RequestContext)
        app.state.asked, app.state.answer, app.state.released = asyncio.Event(), asyncio.Event(), asyncio.Event()
        return app

    async def test_ends_with_its_answer_whatever_is_done_behind_it(
        self, app: FastAPI, spans: Spans, counted: Metrics
    ) -> None:
        active = {"http.request.method": "PATCH"}  # nobody else in this process asks so
        async with serve(app) as url, http_client(url) as client:
            asking = asyncio.create_task(client.patch("/wait"))
            await app.state.asked.wait()
            assert counted.value("http.server.active_requests", active) == 1
            app.state.answer.set()
            assert (await asking).json() == "waited"
            await eventually(lambda: spans.one("PATCH /wait"))
            assert counted.value("http.server.active_requests", active) == 0
            app.state.released.set()

    async def test_has_failed_where_its_client_left(self, app: FastAPI, spans: Spans) -> None:
        async def patient(_scope: Scope, receive: Receive, _send: Send) -> None:
            app.state.asked.set()
            while (await receive())["type"] != "http.disconnect":
                pass

        app.mount("/patient", patient)
        async with serve(app) as url, http_client(url) as client:
            asking = asyncio.create_task(client.get("/patient/call"))
            await app.state.asked.wait()
            asking.cancel()
            left = await eventually(lambda: spans.one("GET /patient/{path}"))
        assert left.status.status_code is StatusCode.ERROR
        assert left.attributes
        assert left.attributes["error.type"] == "ConnectionError"
        assert "http.response.status_code" not in left.attributes

    async def test_tells_what_was_asked_for(self, app: FastAPI, spans: Spans) -> None:
        async with serve(app) as url, http_client(url) as client:
            await client.request("PROPFIND", "/notes/1?depth=5&sig=abc")
        asked = spans.one("HTTP /notes/{number}").attributes
        assert asked
        assert asked["http.request.method_original"] == "PROPFIND"
        assert asked["url.query"] == "depth=5&sig=REDACTED"

    async def test_takes_all_baggage_along(self, app: FastAPI) -> None:
        async with serve(app) as url, http_client(url) as client:
            response = await client.get("/notes/1", headers=[("baggage", "a=1"), ("baggage", "b=2")])
        assert response.json()["baggage"] == {"a": "1", "b": "2"}
