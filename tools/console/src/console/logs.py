"""Log records from Loki. Times are microseconds since the epoch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Labels of Loki that the tree does not print with a log record, because they are shown elsewhere, describe the process,
# or have many lines.
_NOT_SHOWN = frozenset(
    {"trace_id", "span_id", "request_id", "flags"}
    | {"detected_level", "severity_text", "severity_number", "observed_timestamp", "exception_stacktrace"}
)
_NOT_SHOWN_PREFIXES = (
    "service_",
    "deployment_",
    "telemetry_",
    "scope_",
    "process_",
    "host_",
    "os_",
    "container_",
    "k8s_",
    "code_",
)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record with the attributes that the tree prints."""

    time: int
    span_id: str
    service: str
    level: str
    text: str
    attributes: Mapping[str, str]


def log_records_by_span(streams: Sequence[Mapping[str, Any]]) -> dict[str, list[LogRecord]]:
    """Return the log records of a query's `result` by span id, sorted by time. The id is "" outside any span."""
    records: dict[str, list[LogRecord]] = defaultdict(list)
    for stream in streams:
        labels: dict[str, str] = stream["stream"]
        attributes = {name: value for name, value in sorted(labels.items()) if _is_shown(name)}
        for nanoseconds, text in stream["values"]:
            record = LogRecord(
                time=int(nanoseconds) // 1_000,
                span_id=labels.get("span_id", ""),
                service=labels.get("service_name", ""),
                level=labels.get("detected_level") or labels.get("severity_text", "").lower(),
                text=text,
                attributes=attributes,
            )
            records[record.span_id].append(record)
    return {span_id: sorted(found, key=lambda record: record.time) for span_id, found in records.items()}


def events_of(span: Mapping[str, Any], service: str) -> tuple[LogRecord, ...]:
    """Return the span's events (`logs` in Jaeger's JSON), such as its statements, without stack traces."""
    return tuple(_event(span["spanID"], service, event) for event in span.get("logs") or ())


def _event(span_id: str, service: str, event: Mapping[str, Any]) -> LogRecord:
    fields = {field["key"]: str(field["value"]) for field in event["fields"]}
    text = fields.pop("event", "")
    fields.pop("exception.stacktrace", None)
    return LogRecord(
        time=event["timestamp"], span_id=span_id, service=service, level="event", text=text, attributes=fields
    )


def _is_shown(name: str) -> bool:
    return name not in _NOT_SHOWN and not name.startswith(_NOT_SHOWN_PREFIXES)
