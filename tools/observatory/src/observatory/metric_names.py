"""Names of metrics and labels, derived from OpenTelemetry's as in Prometheus, so that one expression works with both.

Reference: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/. The resource attributes
that become labels are those that `infra/prometheus/prometheus.yaml` promotes.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from observatory.attributes import Resource, as_text, plain

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of name and value, ordered by name."""

MAX_NAME: Final = 200
MAX_LABELS: Final = 40
MAX_LABEL_BYTES: Final = 4_096

_PROMOTED: Final = ("service.name", "service.namespace", "service.version", "deployment.environment.name")
_UNITS: Final = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "Cel": "celsius",
    "Hz": "hertz",
    "%": "percent",
}
_PER: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_SEPARATORS: Final = re.compile(r"[^a-zA-Z0-9]+")
_ANNOTATION: Final = re.compile(r"\{[^}]*\}")


class LabelsTooLongError(ValueError):
    """The labels of a point exceed MAX_LABELS or MAX_LABEL_BYTES."""


def metric_name(name: str, unit: str, *, is_gauge: bool, is_counter: bool) -> str:
    """Return the name in Prometheus, "" if there is none.

    For example, the counter `hopline.db.time` with the unit `s` is named `hopline_db_time_seconds_total`.
    """
    words = [word for word in _SEPARATORS.split(name[:MAX_NAME]) if word]
    if not words or len(name) > MAX_NAME:
        return ""
    for word in _unit_words(unit, is_gauge=is_gauge):
        if word not in words:
            words.append(word)
    if is_counter:
        words = [*(word for word in words if word != "total"), "total"]
    text = "_".join(words)
    return f"_{text}" if text[0].isdigit() else text


def labels_of(resource: Resource, attributes: Iterable[KeyValue]) -> Labels:
    """Return the labels of a point: its attributes, the promoted resource attributes, `job` and `instance`.

    Raises:
        LabelsTooLongError: The labels exceed MAX_LABELS or MAX_LABEL_BYTES.
    """
    found = {_label(pair.key): as_text(plain(pair.value)) for pair in attributes}
    known = resource.attributes
    found |= {_label(name): as_text(known[name]) for name in _PROMOTED if name in known}
    namespace = as_text(known.get("service.namespace"))
    found["job"] = f"{namespace}/{resource.service}" if namespace else resource.service
    found["instance"] = as_text(known.get("service.instance.id"))
    labels = tuple(sorted((name, value) for name, value in found.items() if value))
    if len(labels) > MAX_LABELS or sum(len(name) + len(value.encode()) for name, value in labels) > MAX_LABEL_BYTES:
        raise LabelsTooLongError
    return labels


def _unit_words(unit: str, *, is_gauge: bool) -> list[str]:
    if unit == "1":
        return ["ratio"] if is_gauge else []
    main, _, per = _ANNOTATION.sub("", unit[:MAX_NAME]).partition("/")
    words = _SEPARATORS.split(_UNITS.get(main, main))
    if per:
        words += ["per", *_SEPARATORS.split(_PER.get(per, per))]
    return [word for word in words if word]


def _label(key: str) -> str:
    name = re.sub(r"_{2,}", "_", re.sub(r"[^a-zA-Z0-9_]", "_", key))
    return f"key_{name}" if name[:1].isdigit() else name or "key"
