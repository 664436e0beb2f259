"""Telemetry: OTLP/HTTP JSON as pages send it, and a trace in Jaeger's JSON as the trace backend returns it."""

import time
from typing import Any

from services.gateway.tests.conftest import CALLER

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"

FORGED_RESOURCE = {
    "attributes": [
        {"key": "service.name", "value": {"stringValue": "gateway"}},
        {"key": "process.command", "value": {"stringValue": "x"}},
    ]
}
"""A resource with which a page poses as the gateway."""


def otlp_span(**members: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": "1764000000000000000", "endTimeUnixNano": "1764000000500000000"}
    return {"traceId": TRACE_ID, "spanId": SPAN_ID, "name": "place order", "kind": 1, **times, **members}


def otlp_traces(*spans: dict[str, Any]) -> dict[str, Any]:
    scope = {"scope": {"name": "shop"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": FORGED_RESOURCE, "scopeSpans": [scope]}]}


def otlp_point(value: float = 0.5, **members: Any) -> dict[str, Any]:
    return {"timeUnixNano": "1764000000000000000", "asDouble": value, **members}


def otlp_gauge(*points: dict[str, Any], name: str = "hopline.web_vital.duration") -> dict[str, Any]:
    return {"name": name, "unit": "s", "gauge": {"dataPoints": list(points)}}


def otlp_metrics(*metrics: dict[str, Any]) -> dict[str, Any]:
    scope = {"scope": {"name": "shop"}, "metrics": list(metrics)}
    return {"resourceMetrics": [{"resource": FORGED_RESOURCE, "scopeMetrics": [scope]}]}


def otlp_attribute(key: str, value: str = "x") -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def jaeger_trace(spans: int = 1, *, started_s_ago: float = 60, name: str = "GET /v2/orders") -> dict[str, Any]:
    """Return a trace with this number of requests of the caller to the gateway, without parents."""
    start_us = int((time.time() - started_s_ago) * 1_000_000)
    tags = [{"key": "span.kind", "type": "string", "value": "server"}, {"key": "user.id", "value": CALLER}]
    return {
        "data": [
            {
                "traceID": TRACE_ID,
                "processes": {"p1": {"serviceName": "gateway", "tags": []}},
                "spans": [
                    {
                        "traceID": TRACE_ID,
                        "spanID": f"{number + 1:016x}",
                        "operationName": name,
                        "references": [],
                        "startTime": start_us + number,
                        "duration": 5,
                        "tags": tags,
                        "processID": "p1",
                    }
                    for number in range(spans)
                ],
            }
        ]
    }
