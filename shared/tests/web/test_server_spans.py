"""The SERVER span of a request: the attributes of the instrumentation and those of Hopline's middleware."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, Request, Response
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.config import ServiceSettings
from shared.web.app import NO_TELEMETRY_OF_FASTAPI, build_app
from shared.web.error_handlers import mount_with_error_handlers
from testkit.apps import http_client, serve
from testkit.metrics import RecordedMetrics
from testkit.spans import Spans
from testkit.waiting import eventually

router = APIRouter()


@router.get("/notes/{number}")
async def get_note(number: int) -> int:
    return number


@router.patch("/wait")
async def wait(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(request.app.state.released.wait)
    request.app.state.called.set()
    await request.app.state.response.wait()
    return "waited"


@router.get("/unavailable")
async def respond_503() -> Response:
    return Response(status_code=503)


@router.get("/bug")
async def raise_lookup_error() -> None:
    raise LookupError("no ann@hopline.example")


@router.get("/broken")
async def break_response() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("no ann@hopline.example")

    return StreamingResponse(pieces())


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def app(capsys: pytest.CaptureFixture[str]) -> FastAPI:
    """An application that includes the routes without a prefix, with a prefix, and in a mounted application."""
    settings = ServiceSettings(drain_seconds=0)
    app = build_app(name="small", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
    app.include_router(router, prefix="/v2")
    mounted = FastAPI(telemetry=NO_TELEMETRY_OF_FASTAPI)
    mounted.include_router(router)
    mount_with_error_handlers(app, "/v1", mounted)
    app.state.called, app.state.response, app.state.released = asyncio.Event(), asyncio.Event(), asyncio.Event()
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(app) as url, http_client(url) as client:
        yield client


def attributes_of(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def read_access_log(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"http_request"' in line]


class TestName:
    @pytest.mark.parametrize("prefix", ["", "/v2", "/v1"])
    async def test_name_has_the_whole_route(
        self, client: httpx.AsyncClient, prefix: str, spans: Spans, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await client.get(f"{prefix}/notes/1")
        route = f"{prefix}/notes/{{number}}"
        served = await eventually(lambda: spans.one(f"GET {route}"))
        assert served.kind is SpanKind.SERVER
        assert attributes_of(served)["http.route"] == route
        [record] = read_access_log(capsys)
        assert record["http.route"] == route

    @pytest.mark.parametrize("prefix", ["", "/v2", "/v1"])
    async def test_name_has_head_and_the_whole_route_when_the_method_is_head(
        self, client: httpx.AsyncClient, prefix: str, spans: Spans, capsys: pytest.CaptureFixture[str]
    ) -> None:
        response = await client.head(f"{prefix}/notes/1")
        assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "1")
        route = f"{prefix}/notes/{{number}}"
        served = await eventually(lambda: spans.one(f"HEAD {route}"))
        assert attributes_of(served)["http.route"] == route
        assert attributes_of(served)["http.request.method"] == "HEAD"
        [record] = read_access_log(capsys)
        assert (record["http.request.method"], record["http.route"]) == ("HEAD", route)

    async def test_name_has_at_most_the_mount_path_when_no_route_matches(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        for path in ("/unknown/path", "/v1/unknown/path"):
            await client.get(path)
        await eventually(lambda: len(spans.finished()) == 2)
        assert {span.name for span in spans.finished()} == {"GET", "GET /v1"}

    @pytest.mark.parametrize("prefix", ["/v2", "/v1"])
    async def test_name_has_http_in_place_of_the_method_when_the_method_is_unknown(
        self, client: httpx.AsyncClient, prefix: str, spans: Spans
    ) -> None:
        await client.request("PROPFIND", f"{prefix}/notes/1")
        served = await eventually(lambda: spans.one(f"HTTP {prefix}/notes/{{number}}"))
        assert attributes_of(served)["http.request.method_original"] == "PROPFIND"


class TestAttributes:
    async def test_attributes_have_the_names_of_the_semantic_conventions(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        await client.get("/notes/1?limit=5")
        served = attributes_of(await eventually(lambda: spans.one("GET /notes/{number}")))
        assert {name: served[name] for name in served if name not in {"client.port", "user_agent.original"}} == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.route": "/notes/{number}",
            "url.scheme": "http",
            "url.path": "/notes/1",
            "url.query": "limit=5",
            "network.protocol.version": "1.1",
            "server.address": client.base_url.netloc.decode(),  # the instrumentation adds the port
            "server.port": client.base_url.port,
            "client.address": "127.0.0.1",
        }

    async def test_signatures_and_credentials_in_the_query_are_redacted(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        await client.get("/notes/1?depth=5&%73ig=abc&X-Goog-Signature=def&AWSAccessKeyId=ghi")
        served = await eventually(lambda: spans.one("GET /notes/{number}"))
        assert (
            attributes_of(served)["url.query"]
            == "depth=5&sig=REDACTED&X-Goog-Signature=REDACTED&AWSAccessKeyId=REDACTED"
        )


class TestFailure:
    async def test_span_has_status_error_when_the_response_is_5xx(
        self, client: httpx.AsyncClient, spans: Spans
    ) -> None:
        await client.get("/unavailable")
        served = await eventually(lambda: spans.one("GET /unavailable"))
        assert served.status.status_code is StatusCode.ERROR
        assert attributes_of(served)["error.type"] == "503"
        assert served.status.description is None

    @pytest.mark.parametrize("path", ["/bug", "/broken", "/v1/bug", "/v1/broken"])
    async def test_exception_is_recorded_once_without_addresses(
        self, client: httpx.AsyncClient, path: str, spans: Spans, capsys: pytest.CaptureFixture[str]
    ) -> None:
        try:
            await client.get(path)
        except httpx.RemoteProtocolError:
            assert path.endswith("/broken")
        served = await eventually(lambda: spans.one(f"GET {path}"))
        assert served.status.status_code is StatusCode.ERROR
        assert attributes_of(served)["error.type"] in {"500", "LookupError"}
        [recorded] = [event for event in served.events if event.name == "exception"]
        assert (recorded.attributes or {})["exception.message"] == "no [address]"
        assert "hopline.example" not in str(recorded.attributes)
        assert served.status.description == ("LookupError: no [address]" if path.endswith("/broken") else None)

    async def test_exception_of_a_mounted_application_is_a_problem_and_logged_once(
        self, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        response = await client.get("/v1/bug")
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["instance"] == "/v1/bug"
        assert len(response.headers["x-request-id"]) == 32
        output = capsys.readouterr().out
        assert output.count('"unhandled_exception"') == 1
        assert "Exception in ASGI application" not in output

    async def test_span_has_status_error_when_the_client_disconnects(
        self, app: FastAPI, client: httpx.AsyncClient, spans: Spans, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def wait_for_disconnect(_scope: Scope, receive: Receive, _send: Send) -> None:
            app.state.called.set()
            while (await receive())["type"] != "http.disconnect":
                pass

        app.mount("/wait_for_disconnect", wait_for_disconnect)
        call = asyncio.create_task(client.get("/wait_for_disconnect/call"))
        await app.state.called.wait()
        call.cancel()
        served = await eventually(lambda: spans.one("GET /wait_for_disconnect"))
        assert served.status.status_code is StatusCode.ERROR
        assert attributes_of(served)["error.type"] == "ConnectionError"
        assert served.status.description is None
        assert "http.response.status_code" not in attributes_of(served)
        [record] = read_access_log(capsys)
        assert record["http.response.status_code"] == 499


class TestEnd:
    async def test_span_ends_with_the_response_when_background_tasks_continue(
        self, app: FastAPI, client: httpx.AsyncClient, spans: Spans, metrics: RecordedMetrics
    ) -> None:
        active = {"http.request.method": "PATCH"}  # the other tests of this module send other methods
        call = asyncio.create_task(client.patch("/wait"))
        await app.state.called.wait()
        assert metrics.value("http.server.active_requests", active) == 1
        app.state.response.set()
        assert (await call).json() == "waited"
        await eventually(lambda: spans.one("PATCH /wait"))
        app.state.released.set()
        await eventually(lambda: metrics.value("http.server.active_requests", active) == 0)
        assert metrics.value("http.server.request.duration", {**active, "http.route": "/wait"}) == 1
