"""What a test made the process count, as the SDK would export it."""

from collections.abc import Mapping

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    InMemoryMetricReader,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource

_NOTHING = MetricsData([ResourceMetrics(Resource.get_empty(), [], "")])

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint


class Metrics:
    """Counters and histograms since it was made, gauges as they are."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader
        self._before = self._counted()

    def value(self, name: str, attributes: Mapping[str, object] | None = None) -> float:
        """The sum over the points with these attributes (and maybe more): of a histogram, how much was recorded."""
        wanted = (attributes or {}).items()
        return sum(
            value - self._before.get((metric, labels), 0)
            for (metric, labels), value in self._counted(gauges=True).items()
            if metric == name and wanted <= dict(labels).items()
        )

    def since(self) -> dict[tuple[str, frozenset[tuple[str, object]]], float]:
        """Each counter and histogram that changed, by name and attributes: by how much, or how often."""
        counted = {point: value - self._before.get(point, 0) for point, value in self._counted().items()}
        return {point: value for point, value in counted.items() if value}

    def _counted(self, *, gauges: bool = False) -> dict[tuple[str, frozenset[tuple[str, object]]], float]:
        data = self._reader.get_metrics_data() or _NOTHING
        return {
            (metric.name, frozenset((point.attributes or {}).items())): _number(point)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if gauges or not _is_gauge(point, metric.data)
        }


def _number(point: Point) -> float:
    return point.value if isinstance(point, NumberDataPoint) else point.count


def _is_gauge(point: Point, data: object) -> bool:
    return isinstance(point, NumberDataPoint) and not hasattr(data, "aggregation_temporality")


_reader: InMemoryMetricReader | None = None


@pytest.fixture
def counted() -> Metrics:
    """What was counted during this test, over the global meter provider, which can be set only once per process."""
    global _reader  # noqa: PLW0603 - as global as the provider it reads
    if _reader is None:
        _reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider(metric_readers=[_reader]))
    return Metrics(_reader)
