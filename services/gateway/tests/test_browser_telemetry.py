"""`/browser/telemetry`: limits of spans and metrics from pages, their resource, and their export."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import orjson
import pytest
from services.gateway.tests.conftest import OpenGateway
from services.gateway.tests.fakes import FakeService
from services.gateway.tests.test_telemetry_backend import HangingBackend

from gateway.browser import otlp, telemetry
from testkit.apps import free_port, serve
from testkit.spans import Spans
from testkit.waiting import eventually

TRACES, METRICS = "/browser/telemetry/v1/traces", "/browser/telemetry/v1/metrics"
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FORGED = {
    "attributes": [
        {"key": "service.name", "value": {"stringValue": "gateway"}},
        {"key": "process.command", "value": {"stringValue": "x"}},
    ]
}


def span(**members: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": "1764000000000000000", "endTimeUnixNano": "1764000000500000000"}
    return {"traceId": TRACE_ID, "spanId": SPAN_ID, "name": "place order", "kind": 1, **times, **members}


def traces(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": FORGED, "scopeSpans": [{"scope": {"name": "shop"}, "spans": list(spans)}]}]}


def point(value: float = 0.5, **members: Any) -> dict[str, Any]:
    return {"timeUnixNano": "1764000000000000000", "asDouble": value, **members}


def metrics(*points: dict[str, Any], name: str = "hopline.web_vital.duration") -> dict[str, Any]:
    metric = {"name": name, "unit": "s", "gauge": {"dataPoints": list(points)}}
    scope = {"scope": {"name": "shop"}, "metrics": [metric]}
    return {"resourceMetrics": [{"resource": FORGED, "scopeMetrics": [scope]}]}


def attribute(key: str, value: str = "x") -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[FakeService, str]]:
    """An OTLP receiver and its address."""
    fake = FakeService(name="collector")
    for signal in ("traces", "metrics"):
        fake.respond("POST", f"/v1/{signal}", {})
    async with serve(fake) as url:
        yield fake, url


@pytest.fixture
def development(
    open_gateway: OpenGateway, receiver: tuple[FakeService, str]
) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A gateway in development that sends telemetry to `receiver`."""
    return open_gateway(environment="development", otel_exporter_otlp_endpoint=receiver[1])


async def sent(receiver: tuple[FakeService, str], path: str) -> Any:
    """Wait for one export and return its body."""
    [request] = await eventually(lambda: receiver[0].requests_for("POST", path))
    assert request.headers["content-type"] == "application/json"
    return orjson.loads(request.body)


def resource_of(exported: dict[str, Any]) -> dict[str, str]:
    return {attribute["key"]: attribute["value"]["stringValue"] for attribute in exported["resource"]["attributes"]}


class TestTraces:
    async def test_spans_are_sent_on_with_the_resource_of_the_page(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient], receiver: tuple[FakeService, str]
    ) -> None:
        full = span(
            parentSpanId="00f067aa0ba902b7",
            attributes=[attribute("hopline.action", "place order"), {"key": "n", "value": {"intValue": "7"}}],
            status={"code": 2, "message": "failed"},
            events=[{"timeUnixNano": "1764000000000000001", "name": "clicked", "attributes": [attribute("a")]}],
            links=[{"traceId": TRACE_ID, "spanId": "00f067aa0ba902b7", "attributes": []}],
        )
        async with development as gateway:
            response = await gateway.post(TRACES, json=traces(full, span(unknown=1, parentSpanId="")))
            assert (response.status_code, response.json()) == (200, {})
            [exported] = (await sent(receiver, "/v1/traces"))["resourceSpans"]
        resource = resource_of(exported)
        assert resource["service.name"] == "browser"
        assert resource["service.namespace"] == "hopline"
        assert resource["deployment.environment.name"] == "development"
        assert resource.keys() == {
            "service.name",
            "service.namespace",
            "service.version",
            "deployment.environment.name",
        }
        [scope] = exported["scopeSpans"]
        assert scope["scope"]["name"] == "shop"
        first, second = scope["spans"]
        assert (first["traceId"], first["spanId"], first["parentSpanId"]) == (TRACE_ID, SPAN_ID, "00f067aa0ba902b7")
        assert (first["name"], first["kind"]) == ("place order", 1)
        assert int(first["endTimeUnixNano"]) - int(first["startTimeUnixNano"]) == 500_000_000
        assert first["attributes"] == [
            attribute("hopline.action", "place order"),
            {"key": "n", "value": {"intValue": 7}},
        ]
        assert first["status"] == {"code": 2, "message": "failed"}
        assert first["events"][0]["name"] == "clicked"
        assert first["links"][0]["spanId"] == "00f067aa0ba902b7"
        assert "parentSpanId" not in second
        assert "unknown" not in second

    async def test_attributes_beyond_the_bound_are_dropped(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient], receiver: tuple[FakeService, str]
    ) -> None:
        many = [attribute(f"a{number}", "x" * 1_000) for number in range(otlp.MAX_ATTRIBUTES + 10)]
        nested = {"key": "nested", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}}
        events = [{"name": "e"}] * (otlp.MAX_EVENTS + 1)
        async with development as gateway:
            body = traces(span(attributes=[nested, *many], events=events))
            assert (await gateway.post(TRACES, json=body)).status_code == 200
            [exported] = (await sent(receiver, "/v1/traces"))["resourceSpans"]
        [kept] = exported["scopeSpans"][0]["spans"]
        assert len(kept["attributes"]) == otlp.MAX_ATTRIBUTES
        assert kept["attributes"][0] == {"key": "nested", "value": {}}
        assert {len(attribute["value"]["stringValue"]) for attribute in kept["attributes"][1:]} == {otlp.MAX_TEXT}
        assert len(kept["events"]) == otlp.MAX_EVENTS

    @pytest.mark.parametrize(
        "members",
        [
            {"traceId": "xyz"},
            {"traceId": TRACE_ID * 2},
            {"spanId": ""},
            {"name": ""},
            {"name": "x" * 129},
            {"kind": 6},
            {"startTimeUnixNano": -1},
            {"endTimeUnixNano": str(2**64)},
            {"attributes": [{"value": {}}]},
            {"attributes": "x"},
            {"links": [{"traceId": TRACE_ID}]},
        ],
        ids=str,
    )
    async def test_invalid_spans_are_rejected_with_the_field(
        self,
        development: AbstractAsyncContextManager[httpx.AsyncClient],
        receiver: tuple[FakeService, str],
        members: dict[str, Any],
    ) -> None:
        async with development as gateway:
            response = await gateway.post(TRACES, json=traces(span(**members)))
            assert response.status_code == 422
            [error] = response.json()["errors"]
            assert next(iter(members)) in error["field"]
            assert await self._is_next(gateway, receiver)

    async def _is_next(self, gateway: httpx.AsyncClient, receiver: tuple[FakeService, str]) -> bool:
        """Return whether the next body is the first that the receiver gets, so no earlier one was forwarded."""
        assert (await gateway.post(TRACES, json=traces(span(name="next")))).status_code == 200
        [exported] = (await sent(receiver, "/v1/traces"))["resourceSpans"]
        return bool(exported["scopeSpans"][0]["spans"][0]["name"] == "next")

    async def test_too_many_spans_are_rejected(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient], receiver: tuple[FakeService, str]
    ) -> None:
        async with development as gateway:
            response = await gateway.post(TRACES, json=traces(*[span()] * (otlp.MAX_ITEMS + 1)))
            assert response.status_code == 413
            assert "200 spans" in response.json()["detail"]
            assert await self._is_next(gateway, receiver)

    async def test_oversized_body_is_rejected(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient], receiver: tuple[FakeService, str]
    ) -> None:
        async with development as gateway:
            response = await gateway.post(TRACES, json=traces(span(name="x" * 64 * 1024)))
            assert response.status_code == 413
            assert await self._is_next(gateway, receiver)

    async def test_response_is_415_when_the_body_is_not_json(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient]
    ) -> None:
        """Pages of other sites can send other types without a preflight request."""
        async with development as gateway:
            body = orjson.dumps(traces(span()))
            for media_type in ("text/plain", "application/x-protobuf", ""):
                headers = {"Content-Type": media_type} if media_type else {}
                assert (await gateway.post(TRACES, content=body, headers=headers)).status_code == 415


class TestMetrics:
    async def test_points_are_sent_on(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient], receiver: tuple[FakeService, str]
    ) -> None:
        attributes = [attribute(f"a{number}") for number in range(otlp.MAX_POINT_ATTRIBUTES + 1)]
        async with development as gateway:
            response = await gateway.post(METRICS, json=metrics(point(0.25, attributes=attributes), point(0)))
            assert (response.status_code, response.json()) == (200, {})
            [exported] = (await sent(receiver, "/v1/metrics"))["resourceMetrics"]
        assert resource_of(exported)["service.name"] == "browser"
        [metric] = exported["scopeMetrics"][0]["metrics"]
        assert (metric["name"], metric["unit"]) == ("hopline.web_vital.duration", "s")
        first, second = metric["gauge"]["dataPoints"]
        assert (first["asDouble"], second["asDouble"]) == (0.25, 0)
        assert len(first["attributes"]) == otlp.MAX_POINT_ATTRIBUTES
        assert metric.keys().isdisjoint({"sum", "histogram"})

    async def test_other_metrics_are_rejected(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient]
    ) -> None:
        async with development as gateway:
            for name in ("hopline.jobs", "hopline.web_vital.", "hopline.web_vital.x1"):
                assert (await gateway.post(METRICS, json=metrics(point(), name=name))).status_code == 422

    async def test_metrics_without_points_are_left_out(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient], receiver: tuple[FakeService, str]
    ) -> None:
        body = metrics(point())
        body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"] += metrics()["resourceMetrics"][0]["scopeMetrics"][0][
            "metrics"
        ] * (otlp.MAX_ITEMS + 1)
        async with development as gateway:
            assert (await gateway.post(METRICS, json=body)).status_code == 200
            [exported] = (await sent(receiver, "/v1/metrics"))["resourceMetrics"]
        [metric] = exported["scopeMetrics"][0]["metrics"]
        assert len(metric["gauge"]["dataPoints"]) == 1

    async def test_too_many_points_are_rejected(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient]
    ) -> None:
        async with development as gateway:
            response = await gateway.post(METRICS, json=metrics(*[point()] * (otlp.MAX_ITEMS + 1)))
        assert response.status_code == 413


class TestBackground:
    async def test_page_does_not_wait_when_the_receiver_hangs(
        self, open_gateway: OpenGateway, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend = HangingBackend()
        url = await backend.open()
        async with open_gateway(environment="development", otel_exporter_otlp_endpoint=url) as gateway:
            for _ in range(telemetry.MAX_QUEUED + 2):
                assert (await gateway.post(TRACES, json=traces(span()))).status_code == 200
            await eventually(lambda: backend.connections)
            assert "the queue is full" in capsys.readouterr().out
        backend.close()

    @pytest.mark.parametrize("status", [400, 503])
    async def test_next_body_is_sent_when_one_failed(
        self,
        development: AbstractAsyncContextManager[httpx.AsyncClient],
        receiver: tuple[FakeService, str],
        status: int,
    ) -> None:
        receiver[0].respond("POST", "/v1/traces", {}, status=status)
        async with development as gateway:
            for _ in range(2):
                assert (await gateway.post(TRACES, json=traces(span()))).status_code == 200
            await eventually(lambda: len(receiver[0].requests) == 2)

    async def test_page_is_served_when_the_receiver_is_unreachable(
        self, open_gateway: OpenGateway, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        async with open_gateway(environment="development", otel_exporter_otlp_endpoint=nowhere) as gateway:
            assert (await gateway.post(TRACES, json=traces(span()))).status_code == 200
            logged = ""

            def is_logged() -> bool:
                nonlocal logged
                logged += capsys.readouterr().out
                return "browser_telemetry_lost" in logged

            await eventually(is_logged)
            assert (await gateway.get("/")).status_code == 200

    async def test_no_spans_are_created_by_telemetry(
        self,
        development: AbstractAsyncContextManager[httpx.AsyncClient],
        receiver: tuple[FakeService, str],
        spans: Spans,
    ) -> None:
        async with development as gateway:
            await gateway.post(TRACES, json=traces(span()))
            await eventually(lambda: receiver[0].requests)
        assert spans.finished() == ()
        assert "traceparent" not in receiver[0].requests[0].headers

    async def test_bodies_of_one_address_are_limited(
        self, open_gateway: OpenGateway, receiver: tuple[FakeService, str]
    ) -> None:
        settings = {"otel_exporter_otlp_endpoint": receiver[1], "rate_limit_telemetry_address": 2}
        async with open_gateway(environment="development", **settings) as gateway:
            statuses = [(await gateway.post(path, json={})).status_code for path in (TRACES, METRICS, TRACES)]
            assert statuses == [200, 200, 429]
            assert (await gateway.get("/browser/config")).status_code == 200


class TestOtherEnvironments:
    @pytest.mark.parametrize("path", [TRACES, METRICS])
    @pytest.mark.parametrize(
        "settings",
        [
            {"environment": "production"},
            {"environment": "test"},
            {"environment": "development", "otel_exporter_otlp_endpoint": None},
            {"environment": "development", "otel_exporter_otlp_protocol": "grpc"},
        ],
        ids=str,
    )
    async def test_route_is_missing(
        self, open_gateway: OpenGateway, receiver: tuple[FakeService, str], path: str, settings: dict[str, Any]
    ) -> None:
        given = {"otel_exporter_otlp_endpoint": receiver[1], **settings}
        if given.get("otel_exporter_otlp_protocol") == "grpc":
            given["otel_traces_exporter"] = given["otel_metrics_exporter"] = given["otel_logs_exporter"] = "none"
        async with open_gateway(**given) as gateway:
            assert (await gateway.post(path, json={})).status_code == 404
            config = (await gateway.get("/browser/config")).json()
        assert config["telemetry"]["enabled"] is False

    async def test_config_contains_the_telemetry_endpoint(
        self, development: AbstractAsyncContextManager[httpx.AsyncClient]
    ) -> None:
        async with development as gateway:
            config = (await gateway.get("/browser/config")).json()
        assert config["telemetry"] == {"enabled": True, "traces_url": TRACES, "metrics_url": METRICS}


async def test_queue_is_sent_in_order(
    development: AbstractAsyncContextManager[httpx.AsyncClient], receiver: tuple[FakeService, str]
) -> None:
    released = asyncio.Event()
    receiver[0].respond("POST", "/v1/traces", {}, until=released)
    names = [f"action {number}" for number in range(5)]
    async with development as gateway:
        for name in names:
            assert (await gateway.post(TRACES, json=traces(span(name=name)))).status_code == 200
        released.set()
        await eventually(lambda: len(receiver[0].requests) == len(names))
    bodies = [orjson.loads(request.body) for request in receiver[0].requests]
    assert [body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] for body in bodies] == names
