"""The metrics that a test recorded, as the SDK would export them."""

from collections.abc import Mapping

import pytest
from opentelemetry.metrics import set_meter_provider
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


class RecordedMetrics:
    """Changes of counters and histograms since the object was created, and current values of gauges."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader
        self._before = self._counted()

    def value(self, name: str, attributes: Mapping[str, object] | None = None) -> float:
        """Return the sum of the points that have at least these attributes; for a histogram the number of records."""
        wanted = (attributes or {}).items()
        return sum(
            value - self._before.get((metric, labels), 0)
            for (metric, labels), value in self._counted(gauges=True).items()
            if metric == name and wanted <= dict(labels).items()
        )

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


@pytest.fixture(scope="session")
def metric_reader() -> InMemoryMetricReader:
    """Set the global meter provider, which can be set only once per process."""
    reader = InMemoryMetricReader()
    set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader


@pytest.fixture
def metrics(metric_reader: InMemoryMetricReader) -> RecordedMetrics:
    """Return the metrics that this test records through the global meter provider."""
    return RecordedMetrics(metric_reader)
