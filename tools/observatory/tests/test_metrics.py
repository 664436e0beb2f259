"""Metrics that the OpenTelemetry SDK exports, as Prometheus's query API returns them."""

import time

import pytest
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from testkit.observatory import CreateTelemetry, Observatory, trace_id_of

from .conftest import CreateMetrics
from .metric_clients import build_export, get_store_status, post_export, query_metric

TWO_HOURS_NS = 7_200_000_000_000
"""Longer than the maximum age of a point."""


class TestCounters:
    @pytest.mark.parametrize("temporality", ["cumulative", "delta"])
    def test_counter_grows_by_the_added_values(
        self, observatory: Observatory, create_metrics: CreateMetrics, temporality: str
    ) -> None:
        name = f"grow.{temporality}"
        shop = create_metrics(observatory, "shop", delta=temporality == "delta")
        counter = shop.meter.create_counter(name, unit="{order}")
        counter.add(3, {"sku": "a"})
        shop.export()
        counter.add(5, {"sku": "a"})
        counter.add(1, {"sku": "b"})
        shop.export()

        assert query_metric(observatory, f"{name.replace('.', '_')}_total") == {"sku=a": 8, "sku=b": 1}

    def test_counter_counts_its_first_increment_from_its_start(
        self, observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        shop = create_metrics(observatory, "shop")
        shop.meter.create_counter("first").add(7)
        shop.export()

        increase = query_metric(observatory, "increase(first_total[5m])")

        # The series has a point 0 at its start and the point 7. Prometheus extrapolates them by half their distance.
        assert increase[""] == pytest.approx(7 * 1.5)

    @pytest.mark.parametrize("temporality", ["cumulative", "delta"])
    def test_counter_continues_when_its_process_restarts(
        self, observatory: Observatory, create_metrics: CreateMetrics, temporality: str
    ) -> None:
        for added in (8, 10):  # the total grows, so that only the start time reveals the restart
            process = create_metrics(observatory, "shop", instance="same", delta=temporality == "delta")
            process.meter.create_counter(f"restarted.{temporality}").add(added)
            process.close()

        assert query_metric(observatory, f"restarted_{temporality}_total") == {"": 18}

    def test_counter_restarts_when_it_shrinks_without_a_start_time(self, observatory: Observatory) -> None:
        for value in (8, 3):
            metric = Metric(name="shrunk")
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.sum.data_points.add(as_int=value, time_unix_nano=time.time_ns())
            post_export(observatory, build_export(metric))

        assert query_metric(observatory, "shrunk_total") == {"": 11}


class TestGauges:
    def test_gauge_has_its_latest_value(self, observatory: Observatory, create_metrics: CreateMetrics) -> None:
        shop, values = create_metrics(observatory, "shop"), iter([1.5, -2.25])

        def observe(_options: CallbackOptions) -> list[Observation]:
            return [Observation(next(values, -2.25), {"room": "a"})]

        shop.meter.create_observable_gauge("temperature", [observe], unit="Cel")
        shop.export()
        shop.export()

        assert query_metric(observatory, "temperature_celsius") == {"room=a": -2.25}

    @pytest.mark.parametrize("temporality", ["cumulative", "delta"])
    def test_up_down_counter_can_shrink(
        self, observatory: Observatory, create_metrics: CreateMetrics, temporality: str
    ) -> None:
        shop = create_metrics(observatory, "shop", delta=temporality == "delta")
        sockets = shop.meter.create_up_down_counter(f"sockets.{temporality}")
        sockets.add(5)
        shop.export()
        sockets.add(-7)
        shop.export()

        assert query_metric(observatory, f"sockets_{temporality}") == {"": -2}


class TestHistograms:
    @pytest.mark.parametrize("temporality", ["cumulative", "delta"])
    def test_histogram_has_buckets_a_sum_and_a_count(
        self, observatory: Observatory, create_metrics: CreateMetrics, temporality: str
    ) -> None:
        shop, name = create_metrics(observatory, "shop", delta=temporality == "delta"), f"wait_{temporality}"
        waits = shop.meter.create_histogram(name, unit="s", explicit_bucket_boundaries_advisory=[0.1, 1])
        for value in (0.05, 0.5, 0.25):
            waits.record(value)
        shop.export()
        waits.record(3)
        shop.export()

        assert query_metric(observatory, f"{name}_seconds_bucket") == {"le=0.1": 1, "le=1": 3, "le=+Inf": 4}
        assert query_metric(observatory, f"{name}_seconds_count") == {"": 4}
        assert query_metric(observatory, f"{name}_seconds_sum") == {"": pytest.approx(3.8)}

    def test_histogram_continues_when_its_process_restarts(
        self, observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        for values in ((0.05, 0.5), (0.5, 2.0, 2.0)):
            process = create_metrics(observatory, "shop", instance="same")
            waits = process.meter.create_histogram("again", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1])
            for value in values:
                waits.record(value)
            process.close()

        assert query_metric(observatory, "again_seconds_bucket") == {"le=0.1": 1, "le=1": 3, "le=+Inf": 5}

    def test_histogram_starts_again_when_its_buckets_change(
        self, observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        for bounds in ([0.1, 1], [0.2, 2, 20]):
            process = create_metrics(observatory, "shop", instance="same")
            process.meter.create_histogram("other", explicit_bucket_boundaries_advisory=bounds).record(0.15)
            process.close()

        assert query_metric(observatory, "other_bucket") == {"le=0.2": 1, "le=2": 1, "le=20": 1, "le=+Inf": 1}

    def test_quantiles_interpolate_within_a_bucket(
        self, observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        shop = create_metrics(observatory, "shop")
        waits = shop.meter.create_histogram("spread", unit="s", explicit_bucket_boundaries_advisory=[1, 2, 4])
        for value in (0.5, 1.5, 1.5, 3):
            waits.record(value)
        shop.export()

        for quantile, expected in (("0.25", 1), ("0.5", 1.5), ("0.75", 2), ("1", 4)):
            expression = f"histogram_quantile({quantile}, sum by (le) (rate(spread_seconds_bucket[5m])))"
            assert query_metric(observatory, expression) == {"": pytest.approx(expected)}

    def test_exemplars_have_the_trace_id(
        self, observatory: Observatory, create_metrics: CreateMetrics, create_telemetry: CreateTelemetry
    ) -> None:
        shop, tracer = create_metrics(observatory, "shop"), create_telemetry(observatory, "shop").tracer
        waits = shop.meter.create_histogram("traced", unit="s")
        with tracer.start_as_current_span("slow") as span:
            waits.record(0.7, {"route": "/a"})
        waits.record(0.9, {"route": "/b"})
        shop.export()

        response = observatory.get("prometheus", "/api/v1/query_exemplars", query="traced_seconds_bucket").json()

        [series] = response["data"]
        [exemplar] = series["exemplars"]
        assert series["seriesLabels"]["route"] == "/a"
        assert exemplar["value"] == "0.7"
        assert exemplar["labels"]["trace_id"] == trace_id_of(span)


class TestDroppedPoints:
    def test_exponential_histograms_are_dropped_and_counted(
        self, observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        view = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())
        shop = create_metrics(observatory, "shop", views=[view])
        shop.meter.create_histogram("exponential").record(1)
        shop.export()

        assert get_store_status(observatory)["dropped"]["exponential histogram"] == 1
        assert query_metric(observatory, "exponential_count") == {}

    def test_dropped_points_are_counted_by_reason_and_in_the_response(self, observatory: Observatory) -> None:
        now = time.time_ns()
        summary, without_data, wrong_time, infinite, many_buckets = (
            Metric(name=f"odd.{number}") for number in range(5)
        )
        summary.summary.data_points.add(count=1, time_unix_nano=now)
        wrong_time.gauge.data_points.add(as_double=1, time_unix_nano=now - TWO_HOURS_NS)
        wrong_time.gauge.data_points.add(as_double=1, time_unix_nano=2**64 - 1)
        infinite.gauge.data_points.add(as_double=float("inf"), time_unix_nano=now)
        many_buckets.histogram.data_points.add(
            count=1, bucket_counts=[1] * 5_000, explicit_bounds=range(4_999), time_unix_nano=now
        )

        response = post_export(observatory, build_export(summary, without_data, wrong_time, infinite, many_buckets))

        dropped = get_store_status(observatory)["dropped"]
        assert dropped["summary"] == 1
        assert dropped["unknown data type"] == 1
        assert dropped["too old or in the future"] == 2
        assert dropped["not a finite number"] == 1
        assert dropped["buckets that do not match, or more than 200"] == 1
        assert response.partial_success.rejected_data_points == 1 + 1 + 2 + 1 + 1

    def test_point_is_stored_once_when_it_is_sent_twice(self, observatory: Observatory) -> None:
        metric = Metric(name="twice")
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        metric.sum.data_points.add(as_int=4, time_unix_nano=time.time_ns())
        for _ in range(2):
            post_export(observatory, build_export(metric))

        assert query_metric(observatory, "twice_total") == {"": 4}


class TestApi:
    def test_range_has_a_value_for_each_step(self, observatory: Observatory, create_metrics: CreateMetrics) -> None:
        shop = create_metrics(observatory, "shop")
        shop.meter.create_gauge("level").set(4)
        shop.export()
        now = time.time()

        response = observatory.get(
            "prometheus", "/api/v1/query_range", query="level", start=now, end=now + 20, step="10s"
        )

        [series] = response.json()["data"]["result"]
        assert [value for _, value in series["values"]] == ["4", "4", "4"]

    def test_labels_are_the_same_as_in_prometheus(
        self, observatory: Observatory, create_metrics: CreateMetrics
    ) -> None:
        shop = create_metrics(observatory, "shop", instance="i-1")
        shop.meter.create_gauge("labelled").set(1, {"http.route": "/a", "hopline.paid": True})
        shop.export()

        [item] = observatory.get("prometheus", "/api/v1/query", query="labelled").json()["data"]["result"]

        assert item["metric"] == {
            "__name__": "labelled",
            "hopline_paid": "true",
            "http_route": "/a",
            "instance": "i-1",
            "job": "hopline/shop",
            "service_name": "shop",
            "service_namespace": "hopline",
        }
        assert "labelled" in observatory.get("prometheus", "/api/v1/label/__name__/values").json()["data"]
        assert "i-1" in observatory.get("prometheus", "/api/v1/label/instance/values").json()["data"]
        assert "http_route" in observatory.get("prometheus", "/api/v1/labels").json()["data"]

    @pytest.mark.parametrize(
        ("query", "reason"),
        [
            ("up offset 5m", "unexpected 'offset'"),
            ("quantile_over_time(0.5, up[5m])", "unsupported function 'quantile_over_time'"),
            ("up and down", "unexpected 'and'"),
            ("sum without (le) (up)", "unsupported 'without'"),
            ("topk by (a) (2, up)", "unsupported 'by' of topk"),
            ("topk(2, up) by (a)", "unsupported 'by' of topk"),
            ("up[5m]", "a range is allowed only within rate and increase"),
            ("rate(up)", "rate needs a metric with a range"),
            ("rate(up[5])", "invalid range '[5]'"),
            ("sum by (a) (rate(up[5m])) + on (a) up", "unsupported function 'on'"),
            ('up{le="1"}', "unsupported comparison of 'le' or '__name__'"),
            ("up{a=1}", "invalid comparison of 'a'"),
            ('up{a=~"("}', "invalid regular expression '(': missing ): ("),
            ("(" * 200, "more than 30 levels of nesting"),
            ("1 +", "the expression ends too early"),
            ("€", "unexpected '€'"),
        ],
    )
    def test_response_is_400_with_the_reason_and_the_supported_syntax_when_a_query_is_unsupported(
        self, observatory: Observatory, query: str, reason: str
    ) -> None:
        response = observatory.get("prometheus", "/api/v1/query", query=query)

        assert response.status_code == 400
        assert response.json()["errorType"] == "bad_data"
        assert response.json()["error"].startswith(f"{reason} at character ")
        assert "supported here: " in response.json()["error"]

    @pytest.mark.parametrize(
        ("path", "params", "message"),
        [
            ("/api/v1/query", {}, "query"),
            ("/api/v1/query", {"query": "up", "time": "yesterday"}, "time"),
            ("/api/v1/query", {"query": "up", "time": "2026-01-01T00:00:00"}, "time"),
            ("/api/v1/query_range", {"query": "up", "start": "1", "end": "2"}, "step"),
            ("/api/v1/query_range", {"query": "up", "start": "1", "end": "2", "step": "0"}, "step"),
            ("/api/v1/query_range", {"query": "up", "start": "1", "end": "99999", "step": "1"}, "at most 1000"),
            ("/api/v1/query_range", {"query": "up", "start": "2", "end": "1", "step": "1"}, "end"),
            ("/observatory/metrics", {"window": "2d"}, "window"),
            ("/observatory/metrics", {"window": "soon"}, "window"),
        ],
    )
    def test_error_names_the_parameter_when_it_is_invalid(
        self, observatory: Observatory, path: str, params: dict[str, str], message: str
    ) -> None:
        response = observatory.get("prometheus", path, **params)

        assert response.status_code == 400
        assert message in response.json()["error"]
