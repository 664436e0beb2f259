"""Converts OTLP metrics to points: gauges, sums and histograms with explicit buckets, in both temporalities."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar as ExemplarMessage

from observatory.attributes import Resource, resource_from
from observatory.metric_names import LabelsTooLongError, labels_of, metric_name
from observatory.metrics import MetricStore
from observatory.series import MAX_EXEMPLARS, Exemplar, Kind, Point

MAX_BUCKETS: Final = 200

NO_NAME: Final = "no usable name"
NO_NUMBER: Final = "not a finite number"
BAD_BUCKETS: Final = f"buckets that do not match, or more than {MAX_BUCKETS}"
LONG_LABELS: Final = "labels that are too long or too many"
_UNSUPPORTED: Final = {"exponential_histogram": "exponential histogram", "summary": "summary"}
_UNKNOWN: Final = "unknown data type"

_SECOND_NS: Final = 1e9
_TRACE_ID_BYTES: Final = 16
_DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


class MetricReader:
    """Adds the points of exports to the store. `points` counts all points, stored or dropped."""

    def __init__(self, store: MetricStore) -> None:
        self._store = store
        self.points = 0

    def read(self, export: ExportMetricsServiceRequest) -> int:
        """Add the points of an export, and return the number of dropped points. `store.dropped` has the reasons."""
        before = self._store.dropped.total()
        for resource_metrics in export.resource_metrics:
            resource = resource_from(resource_metrics.resource.SerializeToString())
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    self._metric(resource, metric)
        self._store.expire()
        return self._store.dropped.total() - before

    def _metric(self, resource: Resource, metric: Metric) -> None:
        data = metric.WhichOneof("data")
        if data is None:
            self._drop(_UNKNOWN)
            return
        message = getattr(metric, data)
        self.points += len(message.data_points)
        if data in _UNSUPPORTED:
            self._drop(_UNSUPPORTED[data], len(message.data_points))
            return
        kind = _kind(data, message)
        name = metric_name(metric.name, metric.unit, is_gauge=data == "gauge", is_counter=kind is Kind.COUNTER)
        if not name:
            self._drop(NO_NAME, len(message.data_points))
            return
        is_delta = data != "gauge" and message.aggregation_temporality == _DELTA
        for item in message.data_points:
            if not item.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
                self._point(name, kind, resource, item, is_delta=is_delta)

    def _point(
        self,
        name: str,
        kind: Kind,
        resource: Resource,
        item: NumberDataPoint | HistogramDataPoint,
        *,
        is_delta: bool,
    ) -> None:
        try:
            labels = labels_of(resource, item.attributes)
        except LabelsTooLongError:
            self._drop(LONG_LABELS)
            return
        if isinstance(item, HistogramDataPoint):
            bounds = tuple(item.explicit_bounds)
            if not _has_valid_buckets(item, bounds):
                self._drop(BAD_BUCKETS)
                return
            values: Sequence[float] = (item.sum, *map(float, accumulate(item.bucket_counts or [item.count])))
        else:
            bounds = ()
            values = (_number(item),)
        if not all(map(math.isfinite, values)):
            self._drop(NO_NUMBER)
            return
        point = Point(
            time_s=item.time_unix_nano / _SECOND_NS,
            start_s=item.start_time_unix_nano / _SECOND_NS,
            values=values,
            is_delta=is_delta,
            bounds=bounds,
            exemplars=tuple(_exemplars(item.exemplars)),
        )
        self._store.add(name, kind, labels, point)

    def _drop(self, reason: str, points: int = 1) -> None:
        self._store.dropped[reason] += points


def _kind(data: str, message: Any) -> Kind:
    if isinstance(message, Histogram):
        return Kind.HISTOGRAM
    return Kind.COUNTER if data == "sum" and message.is_monotonic else Kind.GAUGE


def _has_valid_buckets(item: HistogramDataPoint, bounds: tuple[float, ...]) -> bool:
    """Return whether the bounds are finite and ascending and there is one more bucket than bounds.

    A histogram without buckets has one bucket up to +Inf.
    """
    if not item.bucket_counts:
        return not bounds
    is_ascending = all(low < high for low, high in pairwise(bounds))
    return (
        len(item.bucket_counts) == len(bounds) + 1 <= MAX_BUCKETS and is_ascending and all(map(math.isfinite, bounds))
    )


def _exemplars(messages: Iterable[ExemplarMessage]) -> Iterator[Exemplar]:
    """Yield the latest MAX_EXEMPLARS exemplars that were recorded in a trace, by time."""
    found = [message for message in messages if len(message.trace_id) == _TRACE_ID_BYTES and any(message.trace_id)]
    for message in sorted(found, key=lambda message: message.time_unix_nano)[-MAX_EXEMPLARS:]:
        value = _number(message)
        if math.isfinite(value):
            span_id = message.span_id.hex() if any(message.span_id) else ""
            yield Exemplar(message.time_unix_nano / _SECOND_NS, value, message.trace_id.hex(), span_id)


def _number(message: NumberDataPoint | ExemplarMessage) -> float:
    """Return the value, NaN if it is not set."""
    match message.WhichOneof("value"):
        case "as_int":
            return float(message.as_int)
        case "as_double":
            return float(message.as_double)
        case _:
            return math.nan
