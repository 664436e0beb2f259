"""Log lines as Loki returns them. Times are microseconds since the epoch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What Loki keeps beside a line and the tree shows elsewhere, or that describes the process, not the event.
_NOT_SHOWN = frozenset(
    {"trace_id", "span_id", "request_id", "flags", "service", "level"}
    | {"detected_level", "severity_text", "severity_number", "observed_timestamp", "timestamp", "event"}
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
class LogLine:
    """One line with the attributes worth reading."""

    time: int
    span_id: str
    service: str
    level: str
    text: str
    attributes: Mapping[str, str]


def lines_by_span(streams: Sequence[Mapping[str, Any]]) -> dict[str, list[LogLine]]:
    """Read the `result` of a query: the lines of each span by time; "" holds those outside any span."""
    lines: dict[str, list[LogLine]] = defaultdict(list)
    for stream in streams:
        labels: dict[str, str] = stream["stream"]
        attributes = {name: value for name, value in sorted(labels.items()) if _is_shown(name)}
        for nanoseconds, text in stream["values"]:
            line = LogLine(
                time=int(nanoseconds) // 1_000,
                span_id=labels.get("span_id", ""),
                service=labels.get("service_name", ""),
                level=labels.get("detected_level") or labels.get("severity_text", "").lower(),
                text=text,
                attributes=attributes,
            )
            lines[line.span_id].append(line)
    return {span_id: sorted(found, key=lambda line: line.time) for span_id, found in lines.items()}


def events_of(span: Mapping[str, Any], service: str) -> tuple[LogLine, ...]:
    """Read what Jaeger calls the logs of a span: its events, such as the statements it made, without stacks."""
    return tuple(_event(span["spanID"], service, noted) for noted in span.get("logs") or ())


def _event(span_id: str, service: str, noted: Mapping[str, Any]) -> LogLine:
    fields = {field["key"]: str(field["value"]) for field in noted["fields"]}
    text = fields.pop("event", "")
    fields.pop("exception.stacktrace", None)
    return LogLine(
        time=noted["timestamp"], span_id=span_id, service=service, level="event", text=text, attributes=fields
    )


def _is_shown(name: str) -> bool:
    return name not in _NOT_SHOWN and not name.startswith(_NOT_SHOWN_PREFIXES)
