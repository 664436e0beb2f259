"""Lines to OpenTelemetry: queued as they are, encoded by the thread that sends them (ADR 17).

The SDK's queue, thread and batches stay, and so does the official exporter's transport: retries, TLS, headers and
compression by the usual variables. What lies between, from an event to the bytes of OTLP, is ours.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from shared.lines import Line

_SEVERITIES: Final = {
    "debug": (5, "DEBUG"),
    "info": (9, "INFO"),
    "warning": (13, "WARN"),
    "error": (17, "ERROR"),
    "critical": (21, "FATAL"),
}
"""Number and name of each level in the data model of OpenTelemetry's logs."""

_ELSEWHERE: Final = frozenset({"event", "level", "timestamp", "service", "trace_id", "span_id"})
"""Keys of a line that a record has fields for, or its resource."""

_FIELDS: Final = {
    str: "string_value",
    bool: "bool_value",
    int: "int_value",
    float: "double_value",
    bytes: "bytes_value",
}


class LineQueue(BatchLogRecordProcessor):
    """The SDK's queue of lines and the thread that empties it. A full one drops its oldest line for the next."""

    def take(self, line: Line) -> None:
        """Queue the line. Never blocks."""
        self._batch_processor.emit(line)  # type: ignore[arg-type]  # it hands on what it was given


class LineExporter(OTLPLogExporter):
    """The official exporter but for the encoding: sends lines as log records of one resource."""

    def __init__(self, endpoint: str, *, resource: Resource, timeout: float) -> None:
        super().__init__(endpoint, timeout=timeout)
        self._resource = ResourceLogs(schema_url=resource.schema_url)
        for key, value in resource.attributes.items():
            _fill(self._resource.resource.attributes.add(key=key).value, value)

    def export(self, batch: Sequence[Line]) -> LogRecordExportResult:  # type: ignore[override]  # from our queue
        """Send a batch; blocks until it was taken or the timeout is over."""
        sent = self._client.export(self._encoded(batch))
        return LogRecordExportResult.SUCCESS if sent.success else LogRecordExportResult.FAILURE

    def _encoded(self, lines: Iterable[Line]) -> bytes:
        request = ExportLogsServiceRequest(resource_logs=[self._resource])
        scopes: dict[str, ScopeLogs] = {}
        for line in lines:
            scope = scopes.get(line.logger)
            if scope is None:
                scope = scopes[line.logger] = request.resource_logs[0].scope_logs.add(scope={"name": line.logger})
            _add_record(scope, line)
        return request.SerializeToString()


def _add_record(scope: ScopeLogs, line: Line) -> None:
    number, text = _SEVERITIES.get(line.level) or (0, line.level.upper())
    span = line.span
    record = scope.log_records.add(
        time_unix_nano=line.time_ns,
        observed_time_unix_nano=line.time_ns,
        severity_number=number,
        severity_text=text,
        trace_id=span.trace_id.to_bytes(16, "big") if span.trace_id else None,
        span_id=span.span_id.to_bytes(8, "big") if span.span_id else None,
        flags=span.trace_flags,
    )
    _fill(record.body, line.event["event"])
    add = record.attributes.add
    for key, value in line.event.items():
        if key not in _ELSEWHERE:
            _fill(add(key=key).value, value)


def _fill(target: AnyValue, value: object) -> None:
    """Set `target` to `value`, which is plain."""
    try:
        setattr(target, _FIELDS[type(value)], value)
    except KeyError:
        _fill_with_many(target, value)
    except ValueError:  # half of a surrogate pair, a number beyond 64 bits
        target.string_value = _sayable(value)


def _fill_with_many(target: AnyValue, values: object) -> None:
    if isinstance(values, list | tuple):
        target.array_value.SetInParent()
        for value in values:
            _fill(target.array_value.values.add(), value)
    elif isinstance(values, dict):
        target.kvlist_value.SetInParent()
        for key, value in values.items():
            _fill(target.kvlist_value.values.add(key=_sayable(key)).value, value)
    else:
        target.SetInParent()  # nothing is a value too


def _sayable(value: object) -> str:
    return str(value).encode(errors="backslashreplace").decode()
