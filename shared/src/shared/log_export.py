"""Lines to OpenTelemetry: queued as they are, encoded by the thread that sends them (ADR 17).

The SDK's queue, thread and batches stay, and so does the official exporter's transport: retries, TLS, headers and
compression by the usual variables. What lies between, from an event to the bytes of OTLP, is ours.
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.logs.v1 import logs_pb2 as otlp
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from shared.lines import Line
from shared.spans.wire import attributes, framed, key_values, text

_SEVERITIES: Final = {
    "debug": (otlp.SEVERITY_NUMBER_DEBUG, "DEBUG"),
    "info": (otlp.SEVERITY_NUMBER_INFO, "INFO"),
    "warning": (otlp.SEVERITY_NUMBER_WARN, "WARN"),
    "error": (otlp.SEVERITY_NUMBER_ERROR, "ERROR"),
    "critical": (otlp.SEVERITY_NUMBER_FATAL, "FATAL"),
}
"""Each level's number and name in OpenTelemetry's logs."""

_ELSEWHERE: Final = frozenset({"event", "level", "timestamp", "service", "trace_id", "span_id"})
"""Keys of a line that a record has fields for, or its resource."""

# Numbers of fields in opentelemetry/proto/logs/v1/logs.proto.
_RESOURCE_LOGS = 1  # of the request
_SCOPE_LOGS = 2  # of ResourceLogs
_LOG_RECORDS = 2  # of ScopeLogs
_ATTRIBUTES = 6  # of LogRecord


class LineQueue(BatchLogRecordProcessor):
    """The SDK's queue of lines and the thread that empties it. A full one drops its oldest line for the next."""

    def take(self, line: Line) -> None:
        """Queue the line. Never blocks."""
        self._batch_processor.emit(line)  # type: ignore[arg-type]  # it hands on what it was given


class LineExporter(OTLPLogExporter):
    """OTLP/HTTP, protobuf, with what `OTEL_EXPORTER_OTLP_*` says; sends lines as log records of one resource."""

    def __init__(self, endpoint: str, *, resource: Resource, timeout: float) -> None:
        super().__init__(endpoint, timeout=timeout)
        described = resource_pb2.Resource(attributes=key_values(resource.attributes))
        self._resource = otlp.ResourceLogs(resource=described, schema_url=resource.schema_url).SerializeToString()

    def export(self, batch: Sequence[Line]) -> LogRecordExportResult:  # type: ignore[override]  # from our queue
        """Send a batch; blocks for at most the exporter's timeout."""
        sent = self._client.export(framed(_RESOURCE_LOGS, self._resource + encoded(batch)))
        return LogRecordExportResult.SUCCESS if sent.success else LogRecordExportResult.FAILURE


def encoded(lines: Sequence[Line]) -> bytes:
    """The serialised `ScopeLogs` of lines, one for each logger. Some 6 µs a line (see `shared.spans.encoder`)."""
    scopes: dict[str, list[bytes]] = {}
    for line in lines:
        scopes.setdefault(line.logger, []).append(framed(_LOG_RECORDS, _record(line)))
    return b"".join(framed(_SCOPE_LOGS, _scope(name) + b"".join(records)) for name, records in scopes.items())


def _scope(name: str) -> bytes:
    return otlp.ScopeLogs(scope=InstrumentationScope(name=text(name))).SerializeToString()


def _record(line: Line) -> bytes:
    number, name = _SEVERITIES.get(line.level) or (otlp.SEVERITY_NUMBER_UNSPECIFIED, line.level.upper())
    span = line.span
    placed = otlp.LogRecord(
        time_unix_nano=line.time_ns,
        observed_time_unix_nano=line.time_ns,
        severity_number=number,
        severity_text=name,
        body=AnyValue(string_value=text(str(line.event["event"]))),
        trace_id=span.trace_id.to_bytes(16) if span.trace_id else b"",
        span_id=span.span_id.to_bytes(8) if span.span_id else b"",
        flags=span.trace_flags,
    ).SerializeToString()
    told = {key: value for key, value in line.event.items() if key not in _ELSEWHERE}
    return b"".join([placed, *attributes(_ATTRIBUTES, told)])
