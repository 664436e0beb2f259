"""Limits of the metric store: its series, its points and their age, and its memory."""

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from observatory.metric_names import MAX_LABEL_BYTES, MAX_LABELS
from observatory.metrics import IDLE_SECONDS, MORE_SERIES, MetricLimits, MetricStore
from observatory.series import Kind, Point
from testkit.observatory import Observatory, running_observatory

from .conftest import CreateMetrics
from .metric_clients import build_export, get_store_status, post_export, query_metric

MEBIBYTE = 1024 * 1024
MAX_RSS_KIB = 130 * 1024
LIMITS = MetricLimits(series=100, rows=100, seconds=3_600, total_bytes=MEBIBYTE)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def add_gauge(store: MetricStore, name: str, time_s: float) -> None:
    """Add a point at `time_s` to the gauge `name`."""
    store.add(name, Kind.GAUGE, (), Point(time_s=time_s, start_s=0, values=(1.0,)))


def series_names(store: MetricStore) -> list[str]:
    return sorted(series.name for series in store)


class TestSeries:
    def test_series_beyond_the_limit_are_dropped_and_counted(
        self, limited_observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        shop = create_metrics(limited_observatory, "shop")
        level = shop.meter.create_gauge("level")
        sent, limit = 10, 3
        for number in range(sent):
            level.set(number, {"number": number})
        shop.export()

        assert len(query_metric(limited_observatory, "level")) == limit
        assert get_store_status(limited_observatory)["dropped"] == {MORE_SERIES: sent - limit}

    def test_idle_series_are_removed_when_new_series_arrive(self) -> None:
        clock = Clock()
        store = MetricStore(MetricLimits(series=2, rows=9, seconds=3_600, total_bytes=MEBIBYTE), clock=clock)
        for name in ("a", "b", "c"):
            add_gauge(store, name, clock.now_s)
        assert series_names(store) == ["a", "b"]

        clock.now_s += IDLE_SECONDS + 1
        add_gauge(store, "b", clock.now_s)
        add_gauge(store, "c", clock.now_s)
        add_gauge(store, "d", clock.now_s)

        assert series_names(store) == ["b", "c"]
        assert store.dropped[MORE_SERIES] == 2

    def test_series_are_removed_when_their_last_point_is_too_old(self) -> None:
        clock = Clock()
        store = MetricStore(LIMITS, clock=clock)
        add_gauge(store, "a", clock.now_s)
        clock.now_s += LIMITS.seconds + 1
        store.expire()

        assert (len(store), store.point_count, store.byte_count) == (0, 0, 0)


class TestPoints:
    def test_oldest_points_of_a_series_are_removed(
        self, limited_observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        shop = create_metrics(limited_observatory, "shop")
        level = shop.meter.create_gauge("level")
        for number in range(5):
            level.set(number)
            shop.export()

        assert query_metric(limited_observatory, "level") == {"": 4}
        assert get_store_status(limited_observatory)["points"] == 3

    def test_points_are_removed_when_they_are_too_old(self) -> None:
        clock = Clock()
        store = MetricStore(LIMITS, clock=clock)
        interval_s = LIMITS.seconds / 2
        for _ in range(5):
            add_gauge(store, "a", clock.now_s)
            clock.now_s += interval_s

        assert store.point_count == LIMITS.seconds / interval_s + 1


class TestPage:
    def test_table_has_an_error_with_the_remedy_when_its_metrics_have_too_many_values(
        self, observatory: Observatory
    ) -> None:
        metric = Metric(name="hopline.job.wait", unit="s")
        metric.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        for number in range(300):
            point = metric.histogram.data_points.add(
                count=1, bucket_counts=[0] * 199 + [1], explicit_bounds=range(199), time_unix_nano=time.time_ns()
            )
            point.attributes.add(key="number").value.int_value = number
        post_export(observatory, build_export(metric))

        tables = observatory.get("prometheus", "/observatory/metrics").json()["tables"]

        [error] = [table["error"] for table in tables if table["id"] == "waits"]
        assert error == "more than 2000000 values: record fewer label values, or lower OBSERVATORY_MAX_SERIES"


class TestMemory:
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.integers(0, 4)), max_size=80))
    def test_memory_is_counted_and_never_exceeds_its_limit(self, arrivals: list[tuple[int, int, int]]) -> None:
        limits = MetricLimits(series=6, rows=5, seconds=120, total_bytes=8_000)
        clock = Clock()
        store = MetricStore(limits, clock=clock)
        for name, passed, buckets in arrivals:
            clock.now_s += passed
            bounds = tuple(float(bound) for bound in range(buckets))
            point = Point(time_s=clock.now_s, start_s=clock.now_s - 1, values=(1.0,) * (buckets + 2), bounds=bounds)
            store.add(str(name), Kind.HISTOGRAM, (), point)

            series = list(store)
            assert len(series) == len(store) <= limits.series
            assert store.point_count == sum(map(len, series))
            assert all(len(item) <= limits.rows for item in series)
            assert store.byte_count == sum(item.byte_count for item in series) <= limits.total_bytes
            assert all(item.rows[0] >= item.touched_s - limits.seconds for item in series)

    def test_memory_stays_within_its_limit_when_many_series_arrive(self, create_metrics: CreateMetrics) -> None:
        requests, series_per_request = 20, 500
        points = requests * series_per_request + 1
        with running_observatory(OBSERVATORY_MAX_SERIES="20000") as observatory:
            shop = create_metrics(observatory, "shop")
            shop.meter.create_gauge("level").set(4)
            shop.close()
            for request in range(requests):
                metric = Metric(name="flood", unit="s")
                metric.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
                for number in range(series_per_request):
                    point = metric.histogram.data_points.add(
                        count=1, bucket_counts=[0] * 99 + [1], explicit_bounds=range(99), time_unix_nano=time.time_ns()
                    )
                    point.attributes.add(key="path").value.string_value = f"/{request}/{number}/{'x' * 500}"
                post_export(observatory, build_export(metric))

            status = get_store_status(observatory)
            assert status["received"] == points
            assert status["series"] + status["dropped"][MORE_SERIES] == points
            assert status["bytes"] <= status["limits"]["total_bytes"] == 16 * MEBIBYTE
            assert query_metric(observatory, "level") == {"": 4}
            process_status = Path(f"/proc/{observatory.process.pid}/status").read_text()
            [resident_kib] = [line.split()[1] for line in process_status.splitlines() if line.startswith("VmRSS")]
            assert int(resident_kib) < MAX_RSS_KIB

    def test_oldest_points_are_removed_when_series_grow(self) -> None:
        clock = Clock()
        store = MetricStore(MetricLimits(series=50, rows=1_000, seconds=3_600, total_bytes=50_000), clock=clock)
        rounds, gauges = 360, "abcdefghij"
        added = rounds * len(gauges)
        for _ in range(rounds):
            clock.now_s += 10
            for name in gauges:
                add_gauge(store, name, clock.now_s)

        assert series_names(store) == list(gauges)
        assert 0 < store.evicted_points < added
        assert store.point_count + store.evicted_points == added
        assert {series.last_s for series in store} == {clock.now_s}

    def test_points_are_dropped_when_their_labels_are_too_long_or_too_many(self, observatory: Observatory) -> None:
        metric = Metric(name="long")
        for size in (100, MAX_LABEL_BYTES):
            point = metric.gauge.data_points.add(as_int=1, time_unix_nano=time.time_ns())
            point.attributes.add(key="path").value.string_value = "x" * size
        many = metric.gauge.data_points.add(as_int=1, time_unix_nano=time.time_ns())
        for number in range(MAX_LABELS + 1):
            many.attributes.add(key=f"label.{number}").value.int_value = number
        post_export(observatory, build_export(metric))

        assert get_store_status(observatory)["dropped"] == {"labels that are too long or too many": 2}
        assert len(query_metric(observatory, "long")) == 1
