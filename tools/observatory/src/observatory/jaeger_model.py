"""Traces in the JSON of Jaeger's query API.

The format follows jaegertracing/jaeger internal/uimodel. OTLP fields become tags as in opentelemetry-collector-contrib
pkg/translator/jaeger. Times are microseconds since the epoch.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from observatory.attributes import Plain, Resource, as_text, plain_attributes
from observatory.roles import kind_of
from observatory.traces import Span

Json: TypeAlias = "dict[str, Any]"  # input of the encoder

_MAX_SAFE_INTEGER = 2**53 - 1  # JavaScript rounds larger numbers, so Jaeger sends strings


def trace_json(spans: Sequence[Span]) -> Json:
    """Return `{traceID, spans, processes, warnings}` of the spans of one trace. `spans` must not be empty."""
    processes: dict[int, tuple[str, Resource]] = {}
    for span in spans:
        processes.setdefault(id(span.resource), (f"p{len(processes) + 1}", span.resource))
    return {
        "traceID": spans[0].trace_id,
        "spans": [_span_json(span, processes[id(span.resource)][0]) for span in spans],
        "processes": {name: _process_json(resource) for name, resource in processes.values()},
        "warnings": None,
    }


def span_tags(span: Span, message: SpanMessage) -> Iterator[tuple[str, Plain]]:
    """Yield the span's tags: its scope, its attributes, then the OTLP fields that Jaeger represents as tags."""
    if span.scope.name:
        yield "otel.scope.name", span.scope.name
    if span.scope.version:
        yield "otel.scope.version", span.scope.version
    yield from plain_attributes(message.attributes).items()
    if kind := kind_of(message):
        yield "span.kind", kind
    if message.status.code == Status.STATUS_CODE_OK:
        yield "otel.status_code", "OK"
    elif message.status.code == Status.STATUS_CODE_ERROR:
        yield "otel.status_code", "ERROR"
        yield "error", True
    if message.status.message:
        yield "otel.status_description", message.status.message
    if message.trace_state:
        yield "w3c.tracestate", message.trace_state


def _span_json(span: Span, process: str) -> Json:
    message = SpanMessage.FromString(span.raw)
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "operationName": span.operation,
        "references": list(_references(span, message)),
        "startTime": span.start_ns // 1_000,
        "duration": span.duration_ns // 1_000,
        "tags": [_key_value(key, value) for key, value in span_tags(span, message)],
        "logs": [_log_json(event) for event in message.events],
        "processID": process,
        "warnings": None,
    }


def _references(span: Span, message: SpanMessage) -> Iterator[Json]:
    if span.parent_id:
        yield {"refType": "CHILD_OF", "traceID": span.trace_id, "spanID": span.parent_id}
    for link in message.links:
        yield {"refType": "FOLLOWS_FROM", "traceID": link.trace_id.hex(), "spanID": link.span_id.hex()}


def _log_json(event: SpanMessage.Event) -> Json:
    fields = [_key_value("event", event.name)] if event.name else []
    fields += [_key_value(key, value) for key, value in plain_attributes(event.attributes).items()]
    return {"timestamp": event.time_unix_nano // 1_000, "fields": fields}


def _process_json(resource: Resource) -> Json:
    tags = [_key_value(key, value) for key, value in resource.attributes.items() if key != "service.name"]
    return {"serviceName": resource.service, "tags": tags}


def _key_value(key: str, value: Plain) -> Json:
    match value:
        case bool():
            return {"key": key, "type": "bool", "value": value}
        case int():
            safe = abs(value) <= _MAX_SAFE_INTEGER
            return {"key": key, "type": "int64", "value": value if safe else str(value)}
        case float():
            return {"key": key, "type": "float64", "value": value}
        case bytes():
            return {"key": key, "type": "binary", "value": as_text(value)}
        case _:
            return {"key": key, "type": "string", "value": as_text(value)}
