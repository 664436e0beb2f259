"""`/browser/telemetry`: which spans and metrics of pages are accepted, and what is sent to the OTLP receiver."""

from typing import Any

import httpx
import orjson
import pytest
from services.gateway.tests.factories import (
    SPAN_ID,
    TRACE_ID,
    otlp_attribute,
    otlp_gauge,
    otlp_metrics,
    otlp_point,
    otlp_span,
    otlp_traces,
)
from services.gateway.tests.fakes import FakeService

from gateway.browser import otlp
from testkit.waiting import eventually

TRACES, METRICS = "/browser/telemetry/v1/traces", "/browser/telemetry/v1/metrics"
PARENT_ID = "00f067aa0ba902b7"


async def wait_for_export(receiver: FakeService, path: str) -> Any:
    """Wait for the first request to the receiver and return its body."""
    [request] = await eventually(lambda: receiver.requests_for("POST", path))
    assert request.headers["content-type"] == "application/json"
    return orjson.loads(request.body)


def resource_of(exported: dict[str, Any]) -> dict[str, str]:
    """Return the attributes of the resource."""
    return {item["key"]: item["value"]["stringValue"] for item in exported["resource"]["attributes"]}


class TestTraces:
    async def test_spans_are_forwarded_with_the_resource_of_the_page(
        self, exporting_gateway: httpx.AsyncClient, otlp_receiver: FakeService
    ) -> None:
        full = otlp_span(
            parentSpanId=PARENT_ID,
            attributes=[otlp_attribute("hopline.action", "place order"), {"key": "n", "value": {"intValue": "7"}}],
            status={"code": 2, "message": "failed"},
            events=[{"timeUnixNano": "1764000000000000001", "name": "clicked", "attributes": [otlp_attribute("a")]}],
            links=[{"traceId": TRACE_ID, "spanId": PARENT_ID, "attributes": []}],
        )
        response = await exporting_gateway.post(TRACES, json=otlp_traces(full, otlp_span(unknown=1, parentSpanId="")))
        assert (response.status_code, response.json()) == (200, {})
        [exported] = (await wait_for_export(otlp_receiver, "/v1/traces"))["resourceSpans"]
        resource = resource_of(exported)
        assert resource == {
            "service.name": "browser",
            "service.namespace": "hopline",
            "service.version": resource["service.version"],
            "deployment.environment.name": "development",
        }
        [scope] = exported["scopeSpans"]
        assert scope["scope"]["name"] == "shop"
        first, second = scope["spans"]
        assert (first["traceId"], first["spanId"], first["parentSpanId"]) == (TRACE_ID, SPAN_ID, PARENT_ID)
        assert (first["name"], first["kind"]) == ("place order", 1)
        assert int(first["endTimeUnixNano"]) - int(first["startTimeUnixNano"]) == 500_000_000
        assert first["attributes"] == [
            otlp_attribute("hopline.action", "place order"),
            {"key": "n", "value": {"intValue": 7}},
        ]
        assert first["status"] == {"code": 2, "message": "failed"}
        assert first["events"][0]["name"] == "clicked"
        assert first["links"][0]["spanId"] == PARENT_ID
        assert "parentSpanId" not in second
        assert "unknown" not in second

    async def test_attributes_and_events_beyond_the_limits_are_dropped(
        self, exporting_gateway: httpx.AsyncClient, otlp_receiver: FakeService
    ) -> None:
        many = [otlp_attribute(f"a{number}", "x" * 1_000) for number in range(otlp.MAX_ATTRIBUTES + 10)]
        nested = {"key": "nested", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}}
        events = [{"name": "e"}] * (otlp.MAX_EVENTS + 1)
        body = otlp_traces(otlp_span(attributes=[nested, *many], events=events))
        assert (await exporting_gateway.post(TRACES, json=body)).status_code == 200
        [exported] = (await wait_for_export(otlp_receiver, "/v1/traces"))["resourceSpans"]
        [kept] = exported["scopeSpans"][0]["spans"]
        assert len(kept["attributes"]) == otlp.MAX_ATTRIBUTES
        assert kept["attributes"][0] == {"key": "nested", "value": {}}
        assert {len(item["value"]["stringValue"]) for item in kept["attributes"][1:]} == {otlp.MAX_TEXT}
        assert len(kept["events"]) == otlp.MAX_EVENTS

    @pytest.mark.parametrize(
        "members",
        [
            {"traceId": "xyz"},
            {"traceId": TRACE_ID * 2},
            {"spanId": ""},
            {"name": ""},
            {"name": "x" * (otlp.MAX_NAME + 1)},
            {"kind": 6},
            {"startTimeUnixNano": -1},
            {"endTimeUnixNano": str(2**64)},
            {"attributes": [{"value": {}}]},
            {"attributes": "x"},
            {"links": [{"traceId": TRACE_ID}]},
        ],
        ids=str,
    )
    async def test_invalid_span_is_rejected_with_the_name_of_the_field(
        self,
        exporting_gateway: httpx.AsyncClient,
        otlp_receiver: FakeService,
        members: dict[str, Any],
    ) -> None:
        response = await exporting_gateway.post(TRACES, json=otlp_traces(otlp_span(**members)))
        assert response.status_code == 422
        [error] = response.json()["errors"]
        assert next(iter(members)) in error["field"]
        await self._assert_nothing_was_forwarded(exporting_gateway, otlp_receiver)

    async def _assert_nothing_was_forwarded(self, gateway: httpx.AsyncClient, receiver: FakeService) -> None:
        """Send a valid body. Bodies are forwarded in order, so it arrives first if no earlier one was forwarded."""
        assert (await gateway.post(TRACES, json=otlp_traces(otlp_span(name="valid")))).status_code == 200
        [exported] = (await wait_for_export(receiver, "/v1/traces"))["resourceSpans"]
        assert exported["scopeSpans"][0]["spans"][0]["name"] == "valid"

    async def test_too_many_spans_are_rejected(
        self, exporting_gateway: httpx.AsyncClient, otlp_receiver: FakeService
    ) -> None:
        response = await exporting_gateway.post(TRACES, json=otlp_traces(*[otlp_span()] * (otlp.MAX_ITEMS + 1)))
        assert response.status_code == 413
        assert f"at most {otlp.MAX_ITEMS} spans" in response.json()["detail"]
        await self._assert_nothing_was_forwarded(exporting_gateway, otlp_receiver)

    async def test_oversized_body_is_rejected(
        self, exporting_gateway: httpx.AsyncClient, otlp_receiver: FakeService
    ) -> None:
        response = await exporting_gateway.post(TRACES, json=otlp_traces(otlp_span(name="x" * 64 * 1024)))
        assert response.status_code == 413
        await self._assert_nothing_was_forwarded(exporting_gateway, otlp_receiver)

    async def test_response_is_415_when_the_body_is_not_json(self, exporting_gateway: httpx.AsyncClient) -> None:
        """Pages of other sites can send bodies of other types without a preflight request."""
        body = orjson.dumps(otlp_traces(otlp_span()))
        for media_type in ("text/plain", "application/x-protobuf", ""):
            headers = {"Content-Type": media_type} if media_type else {}
            assert (await exporting_gateway.post(TRACES, content=body, headers=headers)).status_code == 415


class TestMetrics:
    async def test_points_are_forwarded(self, exporting_gateway: httpx.AsyncClient, otlp_receiver: FakeService) -> None:
        attributes = [otlp_attribute(f"a{number}") for number in range(otlp.MAX_POINT_ATTRIBUTES + 1)]
        gauge = otlp_gauge(otlp_point(0.25, attributes=attributes), otlp_point(0))
        response = await exporting_gateway.post(METRICS, json=otlp_metrics(gauge))
        assert (response.status_code, response.json()) == (200, {})
        [exported] = (await wait_for_export(otlp_receiver, "/v1/metrics"))["resourceMetrics"]
        assert resource_of(exported)["service.name"] == "browser"
        [metric] = exported["scopeMetrics"][0]["metrics"]
        assert (metric["name"], metric["unit"]) == ("hopline.web_vital.duration", "s")
        first, second = metric["gauge"]["dataPoints"]
        assert (first["asDouble"], second["asDouble"]) == (0.25, 0)
        assert len(first["attributes"]) == otlp.MAX_POINT_ATTRIBUTES
        assert metric.keys().isdisjoint({"sum", "histogram"})

    async def test_metric_is_rejected_when_its_name_is_not_that_of_a_web_vital(
        self, exporting_gateway: httpx.AsyncClient
    ) -> None:
        for name in ("hopline.jobs", "hopline.web_vital.", "hopline.web_vital.x1"):
            assert (
                await exporting_gateway.post(METRICS, json=otlp_metrics(otlp_gauge(otlp_point(), name=name)))
            ).status_code == 422

    async def test_metrics_without_points_are_not_forwarded(
        self, exporting_gateway: httpx.AsyncClient, otlp_receiver: FakeService
    ) -> None:
        body = otlp_metrics(otlp_gauge(otlp_point()), *[otlp_gauge()] * (otlp.MAX_ITEMS + 1))
        assert (await exporting_gateway.post(METRICS, json=body)).status_code == 200
        [exported] = (await wait_for_export(otlp_receiver, "/v1/metrics"))["resourceMetrics"]
        [metric] = exported["scopeMetrics"][0]["metrics"]
        assert len(metric["gauge"]["dataPoints"]) == 1

    async def test_too_many_points_are_rejected(self, exporting_gateway: httpx.AsyncClient) -> None:
        response = await exporting_gateway.post(
            METRICS, json=otlp_metrics(otlp_gauge(*[otlp_point()] * (otlp.MAX_ITEMS + 1)))
        )
        assert response.status_code == 413
