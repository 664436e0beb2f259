"""The evaluator agrees with Prometheus: promtool evaluates the same expressions over the same points."""

import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from observatory import promql
from observatory.metric_names import Labels
from observatory.metric_query import Evaluation, Vector
from observatory.metrics import MetricLimits, MetricStore
from observatory.series import Kind, Point

STEP_S = 10
POINTS = 40
BOUNDS = (0.1, 0.5, 2.0)
LIMITS = MetricLimits(series=100, rows=1_000, seconds=1e6, total_bytes=2**24)
COUNTERS: dict[tuple[str, Labels], list[float]] = {
    ("requests_total", (("route", "/a"), ("status", "200"))): [7 * n for n in range(POINTS)],
    ("requests_total", (("route", "/a"), ("status", "500"))): [n * n // 9 for n in range(POINTS)],
    ("requests_total", (("route", "/b"), ("status", "200"))): [max(0, n - 33) for n in range(POINTS)],
    ("seconds_total", (("route", "/a"), ("status", "200"))): [0.3 * n for n in range(POINTS)],
}
GAUGES: dict[tuple[str, Labels], list[float]] = {
    ("depth", (("stream", "x"), ("process", "1"))): [abs(20 - n) for n in range(POINTS)],
    ("depth", (("stream", "x"), ("process", "2"))): [n % 7 for n in range(POINTS)],
    ("depth", (("stream", "y"), ("process", "1"))): [-n for n in range(POINTS)],
}
BUCKETS: dict[Labels, list[list[int]]] = {
    (("route", "/a"),): [[n, 3 * n, 3 * n, 4 * n] for n in range(POINTS)],
    (("route", "/b"),): [[0, 0, n // 2, n // 2] for n in range(POINTS)],
    (("route", "/c"),): [[0, 0, 0, 0]] * POINTS,
}
EXPRESSIONS = [
    "requests_total",
    'requests_total{status=~"5.."}',
    'requests_total{status!~"2..",route!="/b"}',
    "rate(requests_total[1m3s])",
    "increase(requests_total[2m3s])",
    "rate(requests_total[30m])",
    "sum by (route) (rate(requests_total[1m3s]))",
    'sum(rate(requests_total{status=~"5.."}[1m3s])) / sum(rate(requests_total[1m3s]))',
    "sum by (route) (rate(seconds_total[1m3s])) / sum by (route) (rate(requests_total[1m3s]))",
    "max by (stream) (depth)",
    "min(depth)",
    "avg by (stream) (depth)",
    "count by (stream) (depth)",
    "topk(2, depth)",
    "depth > 3",
    "2 * depth - 1",
    "histogram_quantile(0.5, sum by (le) (rate(took_seconds_bucket[1m3s])))",
    "histogram_quantile(0.95, sum by (le, route) (rate(took_seconds_bucket[1m3s])))",
    "histogram_quantile(0.99, sum by (le, route) (rate(took_seconds_bucket[1m3s])))",
    "histogram_quantile(0.2, rate(took_seconds_bucket[1m3s]))",
    "sum by (route) (rate(took_seconds_count[1m3s]))",
]
AT_S = (65, 187, 394, 601)
"""Times between two points, soon after the last point, and when only the lookback of 5 min finds the last point."""


def build_store() -> MetricStore:
    store = MetricStore(LIMITS, clock=lambda: float(POINTS * STEP_S))
    for kind, group in ((Kind.COUNTER, COUNTERS), (Kind.GAUGE, GAUGES)):
        for (name, labels), values in group.items():
            for index, value in enumerate(values):
                store.add(name, kind, tuple(sorted(labels)), Point(time_s=index * STEP_S, start_s=0, values=[value]))
    for labels, rows in BUCKETS.items():
        for index, row in enumerate(rows):
            point = Point(time_s=index * STEP_S, start_s=0, values=[0.0, *row], bounds=BOUNDS)
            store.add("took_seconds", Kind.HISTOGRAM, labels, point)
    return store


def promtool_series() -> list[dict[str, str]]:
    """Return the points of `build_store` in the format of promtool."""
    found: dict[tuple[str, Labels], list[Any]] = {**COUNTERS, **GAUGES}
    for labels, rows in BUCKETS.items():
        for index, bound in enumerate((*BOUNDS, "+Inf")):
            found["took_seconds_bucket", (*labels, ("le", str(bound).removesuffix(".0")))] = [
                row[index] for row in rows
            ]
        found["took_seconds_count", labels] = [row[-1] for row in rows]
    return [
        {"series": name + format_labels(dict(labels)), "values": " ".join(map(str, values))}
        for (name, labels), values in found.items()
    ]


def format_labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def round_as_promql(value: float) -> float:
    """Return the value of `round(…, 0.0001)` in PromQL."""
    return math.floor(value * 10_000 + 0.5) / 10_000


def expected_samples(vector: Vector | float) -> list[dict[str, object]]:
    """Return the observatory's result as the samples that promtool has to find."""
    assert isinstance(vector, dict)
    samples = []
    for labels, [value] in vector.items():
        assert isinstance(value, float)
        unnamed = {name: text for name, text in labels if name != "__name__"}  # round() removes the name
        samples.append({"labels": format_labels(unnamed), "value": round_as_promql(value)})
    return samples


def test_expressions_have_the_same_values_as_in_prometheus(tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        assert os.environ.get("CI") != "true", "promtool is missing"
        pytest.skip("no promtool: it evaluates the expressions (Debian: apt install prometheus)")
    store = build_store()
    cases: list[dict[str, object]] = []
    for at_s in AT_S:
        for expression in EXPRESSIONS:
            samples = expected_samples(Evaluation(store, [float(at_s)]).evaluate(promql.parse(expression)))
            # The observatory omits a ratio or a quantile without values. In Prometheus it is NaN, which > removes.
            comparable = f"round(({expression}), 0.0001) > -1e9"
            cases.append({"expr": comparable, "eval_time": f"{at_s}s", "exp_samples": samples})
    file = tmp_path / "arithmetic.yaml"
    test = {"interval": f"{STEP_S}s", "input_series": promtool_series(), "promql_expr_test": cases}
    file.write_text(yaml.safe_dump({"tests": [test]}))

    result = subprocess.run([program, "test", "rules", file], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603

    assert result.returncode == 0, result.stdout + result.stderr


def test_every_expression_has_values() -> None:
    store = build_store()
    found = [Evaluation(store, [float(AT_S[1])]).evaluate(promql.parse(expression)) for expression in EXPRESSIONS]
    assert all(isinstance(vector, dict) and vector for vector in found)


class TestBuckets:
    def test_buckets_are_added_by_bound_when_bounds_differ(self) -> None:
        store = MetricStore(LIMITS, clock=lambda: 100.0)
        for labels, bounds, values in (
            ((("a", "1"),), (1.0, 2.0), [0.0, 1, 2, 3]),
            ((("a", "2"),), (2.0, 4.0), [0.0, 10, 20, 30]),
        ):
            point = Point(time_s=90, start_s=0, values=values, bounds=bounds)
            store.add("took", Kind.HISTOGRAM, labels, point)

        vector = Evaluation(store, [100.0]).evaluate(promql.parse("sum by (le) (took_bucket)"))

        assert isinstance(vector, dict)
        [[buckets]] = vector.values()
        assert buckets == ((1.0, 2.0, 4.0), [1, 12, 20, 33])

    def test_quantile_has_no_name_when_its_buckets_have_one(self) -> None:
        vector = Evaluation(build_store(), [100.0]).evaluate(
            promql.parse("histogram_quantile(0.5, took_seconds_bucket)")
        )

        assert isinstance(vector, dict)
        assert list(vector) == [(("route", "/a"),), (("route", "/b"),)]

    @pytest.mark.parametrize("expression", ["sum(took_bucket)", "took_bucket * 2", "max by (le) (took_bucket)"])
    def test_expression_is_rejected_when_buckets_are_not_summed_by_le(self, expression: str) -> None:
        store = MetricStore(LIMITS, clock=lambda: 100.0)
        store.add("took", Kind.HISTOGRAM, (), Point(time_s=90, start_s=0, values=[0.0, 1], bounds=()))

        with pytest.raises(promql.UnsupportedError, match="buckets of a histogram"):
            Evaluation(store, [100.0]).evaluate(promql.parse(expression))


@pytest.mark.parametrize("operator", ["+", "*", "<"])
def test_expression_is_rejected_when_it_has_too_many_operators(operator: str) -> None:
    longest = f" {operator} ".join(["requests_total"] * (promql.MAX_OPERATORS + 1))
    Evaluation(build_store(), [0.0]).evaluate(promql.parse(longest))
    with pytest.raises(promql.UnsupportedError, match=f"more than {promql.MAX_OPERATORS} operators"):
        promql.parse(f"{longest} {operator} requests_total")


def test_evaluation_reads_a_bounded_number_of_values() -> None:
    evaluation = Evaluation(build_store(), [0.0] * 1_000, max_values=5_000)
    evaluation.evaluate(promql.parse("requests_total"))
    with pytest.raises(promql.UnsupportedError, match="more than 5000 values"):
        evaluation.evaluate(promql.parse("depth"))
