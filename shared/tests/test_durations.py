"""Our histogram against the SDK's: the same measurements must be collected as the same figures."""

from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader, Metric
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from shared.durations import BOUNDS, Durations, with_durations

ROUTES = st.sampled_from(["/a", "/b"])
SECONDS = st.floats(0, 20) | st.sampled_from(BOUNDS)
MEASURED = st.lists(st.tuples(SECONDS, ROUTES, st.booleans(), st.booleans()), max_size=20)
"""Seconds, route, whether sampled, and whether the attributes come the other way round."""


class Sides:
    """The two histograms, told the same, under names of their own for each case."""

    def __init__(self, name: str) -> None:
        self._reader = InMemoryMetricReader()
        provider = MeterProvider([self._reader], resource=Resource({"service.name": "it"}), shutdown_on_exit=False)
        self._theirs = provider.get_meter("theirs").create_histogram(
            name, unit="s", description="How long", explicit_bucket_boundaries_advisory=BOUNDS
        )
        self._ours = Durations(name, scope="ours", description="How long")

    def record(self, seconds: float, route: str, span: SpanContext, *, turned: bool) -> None:
        attributes = {"http.request.method": "GET", "http.route": route}
        if turned:
            attributes = dict(reversed(attributes.items()))
        self._ours.record(seconds, attributes, span=span)
        self._theirs.record(seconds, attributes, trace.set_span_in_context(NonRecordingSpan(span)))

    def collected(self) -> tuple[Metric, Metric]:
        """Ours and theirs."""
        data = self._reader.get_metrics_data()
        assert data
        [resource] = with_durations(data).resource_metrics
        assert resource.resource.attributes == {"service.name": "it"}
        [theirs] = [scope.metrics[0] for scope in resource.scope_metrics if scope.scope.name == "theirs"]
        [ours] = [
            scope.metrics[0]
            for scope in resource.scope_metrics
            if scope.scope.name == "ours" and scope.metrics[0].name == theirs.name
        ]
        return ours, theirs


def described(metric: Metric) -> dict[str, Any]:
    """All of it but the clock's times."""
    assert isinstance(metric.data, Histogram)
    points = [
        {
            "attributes": dict(point.attributes or {}),
            "count": point.count,
            "sum": round(point.sum, 6),
            "buckets": list(point.bucket_counts),
            "bounds": list(point.explicit_bounds),
            "least and most": (point.min, point.max),
            "exemplars": sorted((each.value, each.trace_id, each.span_id) for each in point.exemplars),
        }
        for point in metric.data.data_points
    ]
    return {
        "metric": (metric.name, metric.unit, metric.description),
        "temporality": metric.data.aggregation_temporality,
        "points": sorted(points, key=lambda point: str(point["attributes"])),
    }


class TestAgainstTheSdk:
    names = count()

    @settings(max_examples=30, deadline=None)
    @given(MEASURED, MEASURED)
    def test_the_same_measurements_are_the_same_figures(self, first: list[Any], second: list[Any]) -> None:
        sides = Sides(f"it.{next(self.names)}")
        spans = count(1)
        for measured in (first, second):
            for seconds, route, sampled, turned in measured:
                span = SpanContext(7, next(spans), is_remote=False, trace_flags=TraceFlags(sampled))
                sides.record(seconds, route, span, turned=turned)
            if first or measured:
                ours, theirs = sides.collected()
                assert described(ours) == described(theirs)
