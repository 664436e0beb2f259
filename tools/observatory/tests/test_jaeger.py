"""Jaeger's query API, with spans that the OpenTelemetry SDK exports."""

import secrets
import time
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from testkit.observatory import MakeTelemetry, Observatory

SECOND_NS = 1_000_000_000
EPOCH_NS = 1_790_000_000 * SECOND_NS


def hex_trace(span: Span) -> str:
    return format(span.get_span_context().trace_id, "032x")


def hex_span(span: Span) -> str:
    return format(span.get_span_context().span_id, "016x")


def tags(keyed: list[dict[str, Any]]) -> dict[str, tuple[str, Any]]:
    return {tag["key"]: (tag["type"], tag["value"]) for tag in keyed}


def read(observatory: Observatory, trace_id: str) -> Any:
    response = observatory.get("jaeger", f"/api/traces/{trace_id}")
    assert response.status_code == 200
    return response.json()


class TestOneTrace:
    def test_trace_has_the_format_of_jaeger(self, observatory: Observatory, telemetry: MakeTelemetry) -> None:
        gateway, orders = telemetry(observatory, "gateway"), telemetry(observatory, "orders")
        root = gateway.tracer.start_span("POST /v2/orders", kind=SpanKind.SERVER, start_time=EPOCH_NS)
        child = orders.tracer.start_span(
            "POST /orders",
            context=trace.set_span_in_context(root),
            kind=SpanKind.CLIENT,
            start_time=EPOCH_NS + 2_000_000,
        )
        child.end(EPOCH_NS + 5_500_999)
        root.end(EPOCH_NS + 9_000_000)

        response = read(observatory, hex_trace(root))

        assert {key: response[key] for key in ("total", "limit", "offset", "errors")} == {
            "total": 0,
            "limit": 0,
            "offset": 0,
            "errors": None,
        }
        (found,) = response["data"]
        assert sorted(found) == ["processes", "spans", "traceID", "warnings"]
        assert found["traceID"] == hex_trace(root)
        first, second = found["spans"]
        assert sorted(first) == sorted(
            [
                "traceID",
                "spanID",
                "operationName",
                "references",
                "startTime",
                "duration",
                "tags",
                "logs",
                "processID",
                "warnings",
            ]
        )
        assert (first["spanID"], first["references"], first["logs"]) == (hex_span(root), [], [])
        assert (first["startTime"], first["duration"]) == (EPOCH_NS // 1_000, 9_000)
        assert (second["startTime"], second["duration"]) == (EPOCH_NS // 1_000 + 2_000, 3_500)
        assert second["references"] == [{"refType": "CHILD_OF", "traceID": hex_trace(root), "spanID": hex_span(root)}]
        assert tags(first["tags"])["span.kind"] == ("string", "server")
        assert tags(first["tags"])["otel.scope.name"] == ("string", "shop.tracing")
        assert tags(first["tags"])["otel.scope.version"] == ("string", "1.2.3")
        process = found["processes"][second["processID"]]
        assert process["serviceName"] == "orders"
        assert tags(process["tags"])["service.namespace"] == ("string", "hopline")
        assert "service.name" not in tags(process["tags"])

    def test_attributes_have_types(self, observatory: Observatory, telemetry: MakeTelemetry) -> None:
        span = telemetry(observatory, "orders").tracer.start_span(
            "op", attributes={"s": "x", "b": True, "i": 3, "big": 2**60, "f": 1.5, "list": ["a", "b"]}
        )
        span.end()

        found = tags(read(observatory, hex_trace(span))["data"][0]["spans"][0]["tags"])

        assert found["s"] == ("string", "x")
        assert found["b"] == ("bool", True)
        assert found["i"] == ("int64", 3)
        assert found["big"] == ("int64", str(2**60))
        assert found["f"] == ("float64", 1.5)
        assert found["list"] == ("string", '["a","b"]')

    def test_errors_are_tags_and_events_are_logs(self, observatory: Observatory, telemetry: MakeTelemetry) -> None:
        span = telemetry(observatory, "orders").tracer.start_span("op")
        span.add_event("stock_missing", {"sku": "mug"}, timestamp=EPOCH_NS)
        span.set_status(Status(StatusCode.ERROR, "out of stock"))
        span.end()

        (found,) = read(observatory, hex_trace(span))["data"][0]["spans"]

        assert tags(found["tags"])["error"] == ("bool", True)
        assert tags(found["tags"])["otel.status_code"] == ("string", "ERROR")
        assert tags(found["tags"])["otel.status_description"] == ("string", "out of stock")
        fields = [
            {"key": "event", "type": "string", "value": "stock_missing"},
            {"key": "sku", "type": "string", "value": "mug"},
        ]
        assert found["logs"] == [{"timestamp": EPOCH_NS // 1_000, "fields": fields}]

    def test_links_are_references_of_type_follows_from(
        self, observatory: Observatory, telemetry: MakeTelemetry
    ) -> None:
        tracer = telemetry(observatory, "workers").tracer
        cause = tracer.start_span("publish")
        retry = tracer.start_span("process", links=[Link(cause.get_span_context())])
        cause.end()
        retry.end()

        (found,) = read(observatory, hex_trace(retry))["data"][0]["spans"]

        assert found["references"] == [
            {"refType": "FOLLOWS_FROM", "traceID": hex_trace(cause), "spanID": hex_span(cause)}
        ]

    @pytest.mark.parametrize("written", ["000000000000000000000000000abcde", "ABCDE".rjust(32, "0"), "abcde", "0abcde"])
    def test_trace_is_found_by_every_form_of_its_id(
        self, observatory: Observatory, telemetry: MakeTelemetry, written: str
    ) -> None:
        context = SpanContext(trace_id=0xABCDE, span_id=1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        parent = trace.set_span_in_context(trace.NonRecordingSpan(context))
        telemetry(observatory, "orders").tracer.start_span("op", context=parent).end()

        [found] = read(observatory, written)["data"]
        assert found["traceID"] == "abcde".rjust(32, "0")

    def test_response_is_404_when_the_trace_is_unknown(self, observatory: Observatory) -> None:
        response = observatory.get("jaeger", f"/api/traces/{secrets.token_hex(16)}")

        assert response.status_code == 404
        assert response.json() == {
            "data": None,
            "total": 0,
            "limit": 0,
            "offset": 0,
            "errors": [{"code": 404, "msg": "trace not found"}],
        }

    @pytest.mark.parametrize("trace_id", ["xyz", "a" * 33, "%3Cscript%3E"])
    def test_response_is_400_when_the_id_is_invalid(self, observatory: Observatory, trace_id: str) -> None:
        response = observatory.get("jaeger", f"/api/traces/{trace_id}")

        assert response.status_code == 400
        assert response.json()["errors"][0]["code"] == 400


class TestSearch:
    @pytest.fixture
    def shop(self, observatory: Observatory, telemetry: MakeTelemetry) -> tuple[str, dict[int, str]]:
        """Export three traces of a separate service. Return its name, and the trace ids by duration in milliseconds."""
        name = f"shop-{secrets.token_hex(4)}"
        tracer = telemetry(observatory, name).tracer
        made = {}
        for operation, milliseconds, sku in (("GET /a", 1, "mug"), ("GET /b", 20, "cup"), ("GET /b", 300, "mug")):
            begun_ns = time.time_ns()
            span = tracer.start_span(operation, attributes={"sku": sku, "count": milliseconds}, start_time=begun_ns)
            span.end(begun_ns + milliseconds * 1_000_000)
            made[milliseconds] = hex_trace(span)
        return name, made

    @pytest.mark.parametrize(
        ("parameters", "found"),
        [
            ({}, [300, 20, 1]),
            ({"limit": 2}, [300, 20]),
            ({"operation": "GET /b"}, [300, 20]),
            ({"minDuration": "20ms"}, [300, 20]),
            ({"minDuration": "0.1s"}, [300]),
            ({"minDuration": "1m30s"}, []),
            ({"maxDuration": "19999us"}, [1]),
            ({"minDuration": "2ms", "maxDuration": "200ms"}, [20]),
            ({"tags": '{"sku":"mug"}'}, [300, 1]),
            ({"tags": '{"sku":"mug","count":"1"}'}, [1]),
            ({"tag": "sku:cup"}, [20]),
            ({"tag": "host.name:host-1"}, [300, 20, 1]),
            ({"lookback": "custom"}, [300, 20, 1]),  # as Jaeger's page sends it, with start and end
            ({"start": 1, "end": 2}, []),
        ],
    )
    def test_search_finds_matching_traces(
        self, observatory: Observatory, shop: tuple[str, dict[int, str]], parameters: dict[str, Any], found: list[int]
    ) -> None:
        name, made = shop

        response = observatory.get("jaeger", "/api/traces", service=name, **parameters)

        assert [item["traceID"] for item in response.json()["data"]] == [made[key] for key in found]

    @pytest.mark.parametrize(
        ("parameters", "found"),
        [
            ({}, ["recent", "old"]),  # two days by default
            ({"lookback": "1h"}, ["recent"]),
            ({"lookback": "3h"}, ["recent", "old"]),
            ({"lookback": "3d"}, ["recent", "old", "ancient"]),
        ],
    )
    def test_lookback_excludes_spans_that_started_before_it(
        self, observatory: Observatory, telemetry: MakeTelemetry, parameters: dict[str, str], found: list[str]
    ) -> None:
        service = f"shop-{secrets.token_hex(4)}"
        tracer, now_ns = telemetry(observatory, service).tracer, time.time_ns()
        for operation, hours in (("ancient", 60), ("old", 2), ("recent", 0)):
            start_ns = now_ns - hours * 3_600 * SECOND_NS
            tracer.start_span(operation, start_time=start_ns).end(start_ns + SECOND_NS)

        response = observatory.get("jaeger", "/api/traces", service=service, **parameters)

        assert [item["spans"][0]["operationName"] for item in response.json()["data"]] == found

    def test_search_by_ids_returns_traces_and_lists_missing_ids(
        self, observatory: Observatory, shop: tuple[str, dict[int, str]]
    ) -> None:
        _, made = shop
        missing = secrets.token_hex(16)

        response = observatory.get("jaeger", f"/api/traces?traceID={made[1]}&traceID={missing}").json()

        assert [item["traceID"] for item in response["data"]] == [made[1]]
        assert response["errors"] == [{"msg": "trace not found", "traceID": missing}]

    @pytest.mark.parametrize(
        "parameters",
        [
            {"limit": "0"},
            {"limit": "many"},
            {"limit": "1_0"},
            {"limit": "+1"},
            {"limit": "٣"},
            {"limit": "1" * 5_000},
            {"start": "٣"},
            {"minDuration": "٣s"},
            {"minDuration": "fast"},
            {"minDuration": "5"},
            {"minDuration": "2s", "maxDuration": "1s"},
            {"tags": "{"},
            {"tags": '{"a": 1}'},
            {"tag": "nocolon"},
            {"start": "yesterday"},
            {"start": "2", "end": "1"},
            {"lookback": "always"},
        ],
    )
    def test_search_is_rejected_when_a_parameter_is_invalid(
        self, observatory: Observatory, parameters: dict[str, Any]
    ) -> None:
        response = observatory.get("jaeger", "/api/traces", service="orders", **parameters)

        assert response.status_code == 400
        assert next(iter(parameters)) in response.json()["errors"][0]["msg"]

    def test_search_is_rejected_when_the_service_is_missing(self, observatory: Observatory) -> None:
        response = observatory.get("jaeger", "/api/traces")

        assert response.status_code == 400
        assert response.json()["errors"] == [{"code": 400, "msg": "parameter 'service' is required"}]

    def test_services_and_operations_are_listed(
        self, observatory: Observatory, shop: tuple[str, dict[int, str]]
    ) -> None:
        name, _ = shop

        services = observatory.get("jaeger", "/api/services").json()
        operations = observatory.get("jaeger", f"/api/services/{name}/operations").json()
        kinds = observatory.get("jaeger", "/api/operations", service=name, spanKind="internal").json()

        assert name in services["data"]
        assert services["total"] == len(services["data"])
        assert (operations["data"], operations["total"]) == (["GET /a", "GET /b"], 2)
        assert kinds["data"] == [
            {"name": "GET /a", "spanKind": "internal"},
            {"name": "GET /b", "spanKind": "internal"},
        ]
        assert observatory.get("jaeger", "/api/services/unknown/operations").json()["data"] == []
