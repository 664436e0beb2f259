"""Traces by id in Jaeger's query API, with spans that the OpenTelemetry SDK exports."""

import secrets
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from testkit.observatory import CreateTelemetry, Observatory, span_id_of, trace_id_of

MICROSECOND_NS = 1_000
SECOND_NS = 1_000_000_000
START_NS = 1_790_000_000 * SECOND_NS


def tags_by_key(tags: list[dict[str, Any]]) -> dict[str, tuple[str, Any]]:
    """Return the type and the value of each tag."""
    return {tag["key"]: (tag["type"], tag["value"]) for tag in tags}


def get_trace(observatory: Observatory, trace_id: str) -> Any:
    response = observatory.get("jaeger", f"/api/traces/{trace_id}")
    assert response.status_code == 200
    return response.json()


class TestTrace:
    def test_trace_has_the_format_of_jaeger(self, observatory: Observatory, create_telemetry: CreateTelemetry) -> None:
        gateway, orders = create_telemetry(observatory, "gateway"), create_telemetry(observatory, "orders")
        root = gateway.tracer.start_span("POST /v2/orders", kind=SpanKind.SERVER, start_time=START_NS)
        child = orders.tracer.start_span(
            "POST /orders",
            context=trace.set_span_in_context(root),
            kind=SpanKind.CLIENT,
            start_time=START_NS + 2_000 * MICROSECOND_NS,
        )
        child.end(START_NS + 5_500 * MICROSECOND_NS + 999)  # the nanoseconds are cut off
        root.end(START_NS + 9_000 * MICROSECOND_NS)

        response = get_trace(observatory, trace_id_of(root))

        assert {key: response[key] for key in ("total", "limit", "offset", "errors")} == {
            "total": 0,
            "limit": 0,
            "offset": 0,
            "errors": None,
        }
        (found,) = response["data"]
        assert sorted(found) == ["processes", "spans", "traceID", "warnings"]
        assert found["traceID"] == trace_id_of(root)
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
        assert (first["spanID"], first["references"], first["logs"]) == (span_id_of(root), [], [])
        assert (first["startTime"], first["duration"]) == (START_NS // MICROSECOND_NS, 9_000)
        assert (second["startTime"], second["duration"]) == (START_NS // MICROSECOND_NS + 2_000, 3_500)
        assert second["references"] == [
            {"refType": "CHILD_OF", "traceID": trace_id_of(root), "spanID": span_id_of(root)}
        ]
        assert tags_by_key(first["tags"])["span.kind"] == ("string", "server")
        assert tags_by_key(first["tags"])["otel.scope.name"] == ("string", "shop.tracing")
        assert tags_by_key(first["tags"])["otel.scope.version"] == ("string", "1.2.3")
        process = found["processes"][second["processID"]]
        assert process["serviceName"] == "orders"
        assert tags_by_key(process["tags"])["service.namespace"] == ("string", "hopline")
        assert "service.name" not in tags_by_key(process["tags"])

    def test_tags_have_the_types_of_their_attributes(
        self, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        span = create_telemetry(observatory, "orders").tracer.start_span(
            "op", attributes={"s": "x", "b": True, "i": 3, "big": 2**60, "f": 1.5, "list": ["a", "b"]}
        )
        span.end()

        found = tags_by_key(get_trace(observatory, trace_id_of(span))["data"][0]["spans"][0]["tags"])

        assert found["s"] == ("string", "x")
        assert found["b"] == ("bool", True)
        assert found["i"] == ("int64", 3)
        assert found["big"] == ("int64", str(2**60))
        assert found["f"] == ("float64", 1.5)
        assert found["list"] == ("string", '["a","b"]')

    def test_tags_contain_the_error_status_and_logs_contain_the_events(
        self, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        span = create_telemetry(observatory, "orders").tracer.start_span("op")
        span.add_event("stock_missing", {"sku": "mug"}, timestamp=START_NS)
        span.set_status(Status(StatusCode.ERROR, "out of stock"))
        span.end()

        (found,) = get_trace(observatory, trace_id_of(span))["data"][0]["spans"]

        assert tags_by_key(found["tags"])["error"] == ("bool", True)
        assert tags_by_key(found["tags"])["otel.status_code"] == ("string", "ERROR")
        assert tags_by_key(found["tags"])["otel.status_description"] == ("string", "out of stock")
        fields = [
            {"key": "event", "type": "string", "value": "stock_missing"},
            {"key": "sku", "type": "string", "value": "mug"},
        ]
        assert found["logs"] == [{"timestamp": START_NS // MICROSECOND_NS, "fields": fields}]

    def test_links_are_references_of_type_follows_from(
        self, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        tracer = create_telemetry(observatory, "workers").tracer
        cause = tracer.start_span("publish")
        retry = tracer.start_span("process", links=[Link(cause.get_span_context())])
        cause.end()
        retry.end()

        (found,) = get_trace(observatory, trace_id_of(retry))["data"][0]["spans"]

        assert found["references"] == [
            {"refType": "FOLLOWS_FROM", "traceID": trace_id_of(cause), "spanID": span_id_of(cause)}
        ]

    @pytest.mark.parametrize(
        "trace_id", ["000000000000000000000000000abcde", "ABCDE".rjust(32, "0"), "abcde", "0abcde"]
    )
    def test_trace_is_found_by_every_form_of_its_id(
        self, observatory: Observatory, create_telemetry: CreateTelemetry, trace_id: str
    ) -> None:
        context = SpanContext(trace_id=0xABCDE, span_id=1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        parent = trace.set_span_in_context(trace.NonRecordingSpan(context))
        create_telemetry(observatory, "orders").tracer.start_span("op", context=parent).end()

        [found] = get_trace(observatory, trace_id)["data"]
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
