"""The labels that Loki derives from an OTLP log record.

Index labels come from the resource. Its other attributes and those of the record become structured metadata, which a
query returns with the index labels. Attributes of the scope are not stored. Reference:
https://grafana.com/docs/loki/latest/send-data/otel/#format-considerations and grafana/loki pkg/loghttp/push/otlp.go.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from observatory.attributes import Plain, Resource, as_text, plain, plain_attributes
from observatory.logs import Record

INDEX_ATTRIBUTES = ("service.name", "service.namespace", "deployment.environment.name")

NO_SERVICE_NAME = "unknown_service"  # Loki's name for a resource whose service.name is missing or empty

_INVALID_CHARACTER = re.compile(r"[^A-Za-z0-9_]")
_LEVEL_FROM_NUMBER = ("trace", "debug", "info", "warn", "error", "fatal")  # four severity numbers each, from 1
_LEVEL_FROM_TEXT = {
    **{level: level for level in (*_LEVEL_FROM_NUMBER, "critical")},
    "information": "info",
    "warning": "warn",
    "err": "error",
}


def index_labels(resource: Resource) -> dict[str, str]:
    """Return the index labels, which identify the stream."""
    labels = {_name(key): as_text(resource.attributes[key]) for key in INDEX_ATTRIBUTES if key in resource.attributes}
    return labels | {"service_name": labels.get("service_name") or NO_SERVICE_NAME}


def all_labels(record: Record, message: LogRecord) -> dict[str, str]:
    """Return the index labels and the structured metadata of one record."""
    labels = own_labels(message)
    if message.time_unix_nano and message.observed_time_unix_nano:
        labels["observed_timestamp"] = str(message.observed_time_unix_nano)
    if message.severity_number:
        labels["severity_number"] = str(message.severity_number)
    if message.severity_text:
        labels["severity_text"] = message.severity_text
    if message.flags:
        labels["flags"] = str(message.flags)
    if record.trace_id:
        labels["trace_id"] = record.trace_id
    if record.span_id:
        labels["span_id"] = record.span_id
    labels["detected_level"] = level(message)
    if record.scope.name:
        labels["scope_name"] = record.scope.name
    if record.scope.version:
        labels["scope_version"] = record.scope.version
    return _resource_metadata(record.resource) | labels | index_labels(record.resource)


def own_labels(message: LogRecord) -> dict[str, str]:
    """Return the record's attributes as labels, without those of its resource and scope."""
    return dict(_flat(plain_attributes(message.attributes)))


def line(message: LogRecord) -> str:
    """Return the log line: the body."""
    return as_text(plain(message.body))


def level(message: LogRecord) -> str:
    """Return the level of the severity text if Loki knows it, else that of the severity number, else `unknown`.

    Reference: grafana/loki pkg/distributor/field_detection.go.
    """
    if level := _LEVEL_FROM_TEXT.get(message.severity_text.lower()):
        return level
    if message.severity_number:
        return _LEVEL_FROM_NUMBER[min((message.severity_number - 1) // 4, 5)]
    return "unknown"


def _resource_metadata(resource: Resource) -> dict[str, str]:
    return dict(_flat({key: value for key, value in resource.attributes.items() if key not in INDEX_ATTRIBUTES}))


def _flat(attributes: Mapping[str, Plain], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in attributes.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}_")
        else:
            yield _name(prefix + key), as_text(value)


@lru_cache(maxsize=1_024)
def _name(key: str) -> str:
    name = _INVALID_CHARACTER.sub("_", key)
    return f"key_{name}" if name[:1].isdigit() else name
