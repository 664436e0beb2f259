"""`/browser/traces/{trace_id}`: a user can read the traces of their own requests only; sizes and times are limited."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import orjson
import pytest
from opentelemetry.trace import SpanKind, format_trace_id
from services.gateway.tests.conftest import CALLER, OpenGateway, Services
from services.gateway.tests.fakes import FakeService
from services.gateway.tests.processes import deployed, is_up
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gateway.browser import traces
from testkit.apps import free_port, http_client, serve
from testkit.observatory import Observatory, Telemetry, running_observatory
from testkit.spans import Spans
from testkit.waiting import eventually

OTHER_USER = "0198b7f0-0000-7000-8000-000000000002"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PATH = f"/api/traces/{TRACE}"


@pytest.fixture(scope="module")
def observatory() -> Iterator[Observatory]:
    with running_observatory() as observatory:
        yield observatory


@pytest.fixture
async def backend() -> AsyncIterator[tuple[FakeService, str]]:
    """A trace backend whose responses the test configures, and its address."""
    fake = FakeService(name="traces")
    async with serve(fake) as url:
        yield fake, url


def store_trace(observatory: Observatory, *users: str | None) -> str:
    """Store one trace with a request to the gateway by each user, or without a user for None, and return its id."""
    gateway, orders = (Telemetry(observatory, service) for service in ("gateway", "orders"))
    with gateway.tracer.start_as_current_span("place order") as root:
        for user in users:
            attributes = {"user.id": user, "http.route": "/v2/orders", "client.address": "203.0.113.7"}
            given = {name: value for name, value in attributes.items() if value is not None}
            with (
                gateway.tracer.start_as_current_span("POST /v2/orders", kind=SpanKind.SERVER, attributes=given),
                orders.tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER) as span,
            ):
                span.set_attribute("user.id", CALLER)
    gateway.close()
    orders.close()
    return format_trace_id(root.get_span_context().trace_id)


def store_registration(observatory: Observatory, user: str) -> str:
    """Store the trace of a registration, whose request to the gateway has no user, and return its id."""
    gateway, users = (Telemetry(observatory, service) for service in ("gateway", "users"))
    with (
        gateway.tracer.start_as_current_span("POST /v2/users", kind=SpanKind.SERVER) as root,
        users.tracer.start_as_current_span("POST /users", kind=SpanKind.SERVER, attributes={"user.id": user}),
    ):
        pass
    gateway.close()
    users.close()
    return format_trace_id(root.get_span_context().trace_id)


def document(spans: int = 1, *, started_s_ago: float = 60, name: str = "GET /v2/orders") -> dict[str, Any]:
    """Return a trace of the caller in Jaeger's JSON."""
    start = int((time.time() - started_s_ago) * 1_000_000)
    tags = [{"key": "span.kind", "type": "string", "value": "server"}, {"key": "user.id", "value": CALLER}]
    return {
        "data": [
            {
                "traceID": TRACE,
                "processes": {"p1": {"serviceName": "gateway", "tags": []}},
                "spans": [
                    {
                        "traceID": TRACE,
                        "spanID": f"{number + 1:016x}",
                        "operationName": name,
                        "references": [],
                        "startTime": start + number,
                        "duration": 5,
                        "tags": tags,
                        "processID": "p1",
                    }
                    for number in range(spans)
                ],
            }
        ]
    }


async def send_slowly(_request: Request) -> StreamingResponse:
    """Return a response that never ends, by one byte at a time."""

    async def spaces() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    return StreamingResponse(spaces(), media_type="application/json")


class TestOwnTraces:
    async def test_spans_of_the_own_request_are_returned(
        self, open_gateway: OpenGateway, observatory: Observatory, token: dict[str, str]
    ) -> None:
        trace_id = store_trace(observatory, CALLER)
        async with open_gateway(environment="development", traces_query_url=observatory.url("jaeger")) as gateway:
            response = await gateway.get(f"/browser/traces/{trace_id}", headers=token)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        trace = response.json()
        assert trace["trace_id"] == trace_id
        root, request, call = trace["spans"]
        assert root["parent_span_id"] is None
        assert (request["name"], request["service"], request["kind"]) == ("POST /v2/orders", "gateway", "server")
        assert request["parent_span_id"] == root["span_id"]
        assert call["parent_span_id"] == request["span_id"]
        assert call["service"] == "orders"
        assert request["attributes"] == {"http.route": "/v2/orders"}
        assert request["scope"] == "shop.tracing"
        assert request["start_us"] >= root["start_us"]
        assert 0 <= request["duration_us"] <= root["duration_us"]
        assert (request["status"], request["error"]) == ("UNSET", None)
        assert trace["complete"] is False  # its last span ended a moment ago

    @pytest.mark.parametrize(
        "users",
        [(OTHER_USER,), (None,), (CALLER, OTHER_USER)],
        ids=["another user's", "nobody's", "of the caller and another user"],
    )
    async def test_other_traces_are_not_found(
        self, open_gateway: OpenGateway, observatory: Observatory, token: dict[str, str], users: tuple[str | None, ...]
    ) -> None:
        """Each trace has a span of orders with the caller's id, but only spans of the gateway and of users count."""
        trace_id = store_trace(observatory, *users)
        async with open_gateway(environment="development", traces_query_url=observatory.url("jaeger")) as gateway:
            response = await gateway.get(f"/browser/traces/{trace_id}", headers=token)
            unknown = await gateway.get(f"/browser/traces/{TRACE}", headers=token)
            awaited = [
                await gateway.get(f"/browser/traces/{trace_id}", headers=[*token.items(), *preferences])
                for preferences in (
                    [("Prefer", "respond-async")],
                    [("Prefer", "wait=10, Respond-Async; a=b")],
                    [("Prefer", "wait=10"), ("Prefer", "respond-async")],
                )
            ]
            headers = {**token, "Prefer": "respond-async"}
            invalid = await gateway.get(f"/browser/traces/{trace_id.upper()}x", headers=headers)
        for rejected in (response, unknown, invalid):
            assert rejected.status_code == 404
            assert rejected.json()["type"].endswith("/trace-not-found")
        assert response.json()["detail"] == unknown.json()["detail"]
        for accepted in awaited:
            assert accepted.status_code == 202
            assert accepted.json() == {"trace_id": trace_id, "spans": [], "complete": False}

    @pytest.mark.parametrize(("registered", "status"), [(CALLER, 200), (OTHER_USER, 404)])
    async def test_registration_is_returned_to_the_registered_user(
        self, open_gateway: OpenGateway, observatory: Observatory, token: dict[str, str], registered: str, status: int
    ) -> None:
        trace_id = store_registration(observatory, registered)
        async with open_gateway(environment="development", traces_query_url=observatory.url("jaeger")) as gateway:
            response = await gateway.get(f"/browser/traces/{trace_id}", headers=token)
        assert response.status_code == status

    async def test_requests_of_a_user_are_found_in_the_backend(
        self, services: Services, observatory: Observatory, redis_url: str, token: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/orders", {"items": []})
        variables = {"ENVIRONMENT": "development", "TRACES_URL": observatory.url("jaeger")}
        async with (
            deployed(services, backend=observatory.url("otlp"), redis_url=redis_url, **variables) as (_, url),
            http_client(url) as client,
        ):
            await eventually(lambda: is_up(client))
            response = await client.get("/v2/orders", headers=token)
            trace_id = response.headers["traceresponse"].split("-")[1]

            async def read() -> Any:
                found = await client.get(f"/browser/traces/{trace_id}", headers=token)
                return found.json() if found.is_success else None

            trace = await eventually(read, what="the trace of the request")
        names = {(span["service"], span["kind"], span["name"]) for span in trace["spans"]}
        assert names == {("gateway", "server", "GET /v2/orders"), ("gateway", "client", "GET /orders")}


class TestRequests:
    async def test_token_is_required(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(environment="development") as gateway:
            assert (await gateway.get(f"/browser/traces/{TRACE}")).status_code == 401

    @pytest.mark.parametrize("environment", ["production", "test"])
    async def test_route_is_missing_outside_of_development(
        self, open_gateway: OpenGateway, token: dict[str, str], environment: str
    ) -> None:
        async with open_gateway(environment=environment) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE}", headers=token)
        assert response.status_code == 404
        assert response.json()["type"].endswith("/not-found")

    @pytest.mark.parametrize(
        "trace_id", ["..", "x" * 32, TRACE.upper(), TRACE[1:], f"{TRACE}%3flimit=1", f"{TRACE}%2f.."]
    )
    async def test_invalid_ids_are_not_requested(
        self,
        open_gateway: OpenGateway,
        backend: tuple[FakeService, str],
        token: dict[str, str],
        trace_id: str,
    ) -> None:
        fake, url = backend
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            target = f"/browser/traces/{trace_id}".encode()
            request = gateway.build_request("GET", "/", headers=token, extensions={"target": target})
            assert (await gateway.send(request)).status_code == 404
        assert fake.requests == []

    async def test_polling_creates_no_spans(
        self, open_gateway: OpenGateway, backend: tuple[FakeService, str], token: dict[str, str], spans: Spans
    ) -> None:
        fake, url = backend
        fake.respond("GET", PATH, document())
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            assert (await gateway.get(f"/browser/traces/{TRACE}", headers=token)).status_code == 200
        assert len(fake.requests) == 1
        assert spans.finished() == ()


class TestBounds:
    async def test_number_of_spans_is_bounded(
        self, open_gateway: OpenGateway, backend: tuple[FakeService, str], token: dict[str, str]
    ) -> None:
        fake, url = backend
        fake.respond("GET", PATH, document(traces.MAX_SPANS + 1, name="x" * 1000))
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            trace = (await gateway.get(f"/browser/traces/{TRACE}", headers=token)).json()
        assert len(trace["spans"]) == traces.MAX_SPANS
        assert {len(span["name"]) for span in trace["spans"]} == {traces.MAX_TEXT}
        assert trace["complete"] is False

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (orjson.dumps(document()) + b" " * traces.MAX_BYTES, 502),
            (b"no json", 502),
            ({"data": [{}]}, 502),
            ({"data": [{"processes": {}, "spans": [{"tags": []}]}]}, 502),
            ({"data": 7}, 502),
            ({"data": None}, 404),
        ],
        ids=["too large", "no JSON", "no spans", "incomplete span", "no list", "no data"],
    )
    async def test_invalid_response_of_the_backend_is_a_problem(
        self,
        open_gateway: OpenGateway,
        backend: tuple[FakeService, str],
        token: dict[str, str],
        body: object,
        status: int,
    ) -> None:
        fake, url = backend
        fake.respond("GET", PATH, body)
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE}", headers=token)
        assert response.status_code == status

    async def test_response_is_502_when_the_backend_sends_an_invalid_encoding(
        self, open_gateway: OpenGateway, backend: tuple[FakeService, str], token: dict[str, str]
    ) -> None:
        fake, url = backend
        fake.respond("GET", PATH, b"not compressed", headers={"content-encoding": "gzip"})
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE}", headers=token)
        assert response.status_code == 502
        assert response.json()["type"].endswith("/upstream-broken")

    async def test_response_is_504_when_the_backend_does_not_respond(
        self, open_gateway: OpenGateway, backend: tuple[FakeService, str], token: dict[str, str]
    ) -> None:
        fake, url = backend
        fake.respond("GET", PATH, document(), until=asyncio.Event())
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE}", headers=token)
        assert response.status_code == 504

    async def test_response_is_504_when_the_response_of_the_backend_does_not_end(
        self, open_gateway: OpenGateway, token: dict[str, str]
    ) -> None:
        """Each byte arrives within the timeout of a read, so only a limit on the whole response ends it early."""
        async with (
            serve(Starlette(routes=[Route("/api/traces/{trace_id}", send_slowly)])) as url,
            open_gateway(environment="development", traces_query_url=url) as gateway,
        ):
            response = await gateway.get(f"/browser/traces/{TRACE}", headers=token)
        assert response.status_code == 504
        assert response.elapsed.total_seconds() < 20

    async def test_unreachable_backend_is_a_problem(self, open_gateway: OpenGateway, token: dict[str, str]) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        async with open_gateway(environment="development", traces_query_url=nowhere) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE}", headers=token)
        assert response.status_code == 503
        assert response.json()["type"].endswith("/upstream-unreachable")


class TestCompleteness:
    @pytest.mark.parametrize(
        ("started_s_ago", "parent", "is_complete"),
        [(60, None, True), (1, None, False), (60, "00000000000000aa", True)],
        ids=["quiet", "recent", "parent in the browser"],
    )
    async def test_trace_is_complete_when_nothing_is_expected(
        self,
        *,
        open_gateway: OpenGateway,
        backend: tuple[FakeService, str],
        token: dict[str, str],
        started_s_ago: float,
        parent: str | None,
        is_complete: bool,
    ) -> None:
        fake, url = backend
        stored = document(started_s_ago=started_s_ago)
        if parent:
            reference = {"refType": "CHILD_OF", "traceID": TRACE, "spanID": parent}
            stored["data"][0]["spans"][0]["references"] = [reference]
        fake.respond("GET", PATH, stored)
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            trace = (await gateway.get(f"/browser/traces/{TRACE}", headers=token)).json()
        assert trace["complete"] is is_complete
        assert trace["spans"][0]["parent_span_id"] == parent

    @pytest.mark.parametrize(("service", "is_complete"), [("orders", False), ("browser", True)])
    async def test_trace_is_incomplete_when_the_parent_in_a_service_is_missing(
        self,
        *,
        open_gateway: OpenGateway,
        backend: tuple[FakeService, str],
        token: dict[str, str],
        service: str,
        is_complete: bool,
    ) -> None:
        fake, url = backend
        stored = document(2)
        [trace] = stored["data"]
        trace["processes"]["p2"] = {"serviceName": service, "tags": []}
        trace["spans"][1]["processID"] = "p2"
        trace["spans"][1]["references"] = [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": "00000000000000aa"}]
        fake.respond("GET", PATH, stored)
        async with open_gateway(environment="development", traces_query_url=url) as gateway:
            found = (await gateway.get(f"/browser/traces/{TRACE}", headers=token)).json()
        assert found["complete"] is is_complete


async def test_trace_of_another_user_is_not_found_when_a_page_added_a_span(
    open_gateway: OpenGateway, observatory: Observatory, token: dict[str, str]
) -> None:
    """A page cannot read a foreign trace after it added a span with its own user id."""
    trace_id = store_trace(observatory, OTHER_USER)
    span = {
        "traceId": trace_id,
        "spanId": "b7ad6b7169203331",
        "name": "GET /v2/orders",
        "kind": 2,
        "startTimeUnixNano": "1764000000000000000",
        "endTimeUnixNano": "1764000000000000001",
        "attributes": [{"key": "user.id", "value": {"stringValue": CALLER}}],
    }
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]}
    body = {"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [span]}]}]}
    urls = {"traces_query_url": observatory.url("jaeger"), "otel_exporter_otlp_endpoint": observatory.url("otlp")}
    async with open_gateway(environment="development", **urls) as gateway, httpx.AsyncClient() as reader:
        assert (await gateway.post("/browser/telemetry/v1/traces", json=body)).json() == {}

        async def services_in_trace() -> set[str]:
            found = await reader.get(observatory.url("jaeger", f"/api/traces/{trace_id}"))
            return {process["serviceName"] for process in found.json()["data"][0]["processes"].values()}

        async def has_arrived() -> bool:
            return "browser" in await services_in_trace()

        await eventually(has_arrived, what="the span of the page")
        assert (await gateway.get(f"/browser/traces/{trace_id}", headers=token)).status_code == 404
