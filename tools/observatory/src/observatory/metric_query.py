"""Evaluates expressions over the metric store, at one time or at many.

The arithmetic is Prometheus's: `rate` extrapolates to the borders of its range, `histogram_quantile` interpolates
within a bucket, a value is visible for five minutes, a counter begins with 0 at its start time (Prometheus's feature
`created-timestamp-zero-ingestion`). Unlike in Prometheus, operations on a metric omit NaN and infinite results, such as
a ratio without requests.

The counts of all buckets of a histogram are one value of type Buckets, without the label `le`. Expressions contain
`by (le)` as in Prometheus, and the module `prometheus` adds the label to responses.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from observatory.metric_names import Labels
from observatory.metrics import MetricStore
from observatory.promql import Aggregation, Binary, Expression, Number, Quantile, Rate, Selector, UnsupportedError
from observatory.series import Series

LOOKBACK_S: Final = 300.0
MAX_VALUES: Final = 400_000
"""Maximum number of values that one evaluation reads: series, each bucket of a histogram as one, times moments."""

_RATE_THRESHOLD = 1.1


class Buckets(NamedTuple):
    """Cumulative counts by upper bound; the last count is that of +Inf."""

    bounds: tuple[float, ...]
    counts: Sequence[float]


Value: TypeAlias = float | Buckets
Row: TypeAlias = list[Value | None]
Vector: TypeAlias = dict[Labels, Row]
"""Values by labels, one for each moment."""

_OPERATIONS: Final[dict[str, Callable[[float, float], float]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else math.nan,
    ">": lambda left, right: left if left > right else math.nan,
    "<": lambda left, right: left if left < right else math.nan,
    ">=": lambda left, right: left if left >= right else math.nan,
    "<=": lambda left, right: left if left <= right else math.nan,
    "==": lambda left, right: left if left == right else math.nan,
    "!=": lambda left, right: left if left != right else math.nan,
}
_ARITHMETIC: Final = frozenset("+-*/")
_AGGREGATES: Final[dict[str, Callable[[list[float]], float]]] = {
    "sum": math.fsum,
    "min": min,
    "max": max,
    "avg": lambda values: math.fsum(values) / len(values),
    "count": len,
}


class TooLargeError(UnsupportedError):
    """The expressions of one evaluation read more values than its limit."""


class Evaluation:
    """Evaluates expressions at `moments`, in seconds since the epoch. Equal parts are evaluated once."""

    def __init__(self, store: MetricStore, moments: Sequence[float], *, max_values: int = MAX_VALUES) -> None:
        self._store = store
        self._moments = moments
        self._results: dict[Expression, Vector | float] = {}
        self._max_values = self._values_left = max_values

    def evaluate(self, expression: Expression) -> Vector | float:
        """Return the values by labels, or a number.

        Raises:
            UnsupportedError: An operation does not apply to its operands.
            TooLargeError: The expressions of this evaluation select too many series for so many moments.
        """
        if expression not in self._results:
            self._results[expression] = self._evaluate(expression)
        return self._results[expression]

    def _evaluate(self, expression: Expression) -> Vector | float:
        match expression:
            case Number(value=value):
                return value
            case Selector():
                return self._select(expression)
            case Rate():
                return self._rate(expression)
            case Quantile(quantile=quantile, buckets=inner):
                rows = self._vector(inner).items()
                return _without_empty_rows(
                    {_without_name(labels): [_quantile(quantile, value) for value in row] for labels, row in rows}
                )
            case Aggregation():
                return _aggregate(expression, self._vector(expression.operand))
            case Binary(operator=operator, left=left, right=right):
                return _combine(operator, self.evaluate(left), self.evaluate(right))

    def _vector(self, expression: Expression) -> Vector:
        found = self.evaluate(expression)
        if isinstance(found, float):
            raise UnsupportedError("expected a metric, not a number")
        return found

    def _select(self, selector: Selector) -> Vector:
        found: Vector = {}
        for series, column in self._series(selector):
            read, times, width = _reader(series, column), series.times, series.width
            indexes = (bisect_right(times, moment) - 1 for moment in self._moments)
            labels = tuple(sorted((("__name__", selector.name), *series.labels)))
            found[labels] = [
                read(series.rows, index * width) if index >= 0 and times[index] > moment - LOOKBACK_S else None
                for index, moment in zip(indexes, self._moments, strict=True)
            ]
        return _without_empty_rows(found)

    def _rate(self, rate: Rate) -> Vector:
        found: Vector = {}
        range_s = rate.selector.range_s
        divisor = range_s if rate.function == "rate" else 1.0
        for series, column in self._series(rate.selector):
            times = series.times
            row: Row = []
            for moment in self._moments:
                low, high = bisect_right(times, moment - range_s), bisect_right(times, moment) - 1
                row.append(_increase(series, column, (low, high), (moment - range_s, moment), divisor))
            found[series.labels] = row
        return _without_empty_rows(found)

    def _series(self, selector: Selector) -> list[tuple[Series, int]]:
        found = select(self._store, selector)
        self._values_left -= sum(1 if column else len(series.bounds) + 1 for series, column in found) * len(
            self._moments
        )
        if self._values_left < 0:
            raise TooLargeError(f"more than {self._max_values} values: request fewer series or a larger step")
        return found


def select(store: MetricStore, selector: Selector) -> list[tuple[Series, int]]:
    """Return the selected series, each with the column of its rows. Column 0 means all buckets of a histogram."""
    return [
        (series, column)
        for series, column in store.columns(selector.name)
        if all(matcher.accepts(series.label(name)) for name, matcher in selector.matchers)
    ]


def _reader(series: Series, column: int) -> Callable[[Sequence[float], int], Value]:
    bounds, width = series.bounds, series.width
    if column:
        return lambda rows, index: rows[index + column]
    return lambda rows, index: Buckets(bounds, rows[index + 2 : index + width])


def _increase(
    series: Series, column: int, indexes: tuple[int, int], between: tuple[float, float], divisor: float
) -> Value | None:
    """Return the increase between two rows, extrapolated to `between` as Prometheus does, over `divisor`."""
    (low, high), rows, width = indexes, series.rows, series.width
    if high <= low:
        return None
    first_s, last_s = rows[low * width], rows[high * width]
    sampled_s = last_s - first_s
    mean_s = sampled_s / (high - low)
    to_start_s, to_end_s = first_s - between[0], between[1] - last_s
    if to_start_s >= mean_s * _RATE_THRESHOLD:
        to_start_s = mean_s / 2
    if to_end_s >= mean_s * _RATE_THRESHOLD:
        to_end_s = mean_s / 2

    def extrapolated(first: float, last: float) -> float:
        increase = last - first
        if not increase:
            return 0.0
        zero_s = sampled_s * first / increase if increase > 0 and first >= 0 else to_start_s  # a counter begins at 0
        return increase * (sampled_s + min(to_start_s, zero_s) + to_end_s) / sampled_s / divisor

    if column:
        return extrapolated(rows[low * width + column], rows[high * width + column])
    firsts, lasts = rows[low * width + 2 : (low + 1) * width], rows[high * width + 2 : (high + 1) * width]
    return Buckets(series.bounds, [extrapolated(first, last) for first, last in zip(firsts, lasts, strict=True)])


def _aggregate(aggregation: Aggregation, operand: Vector) -> Vector:
    if aggregation.function == "topk":
        return _topk(aggregation.count, operand)
    groups: defaultdict[Labels, list[Row]] = defaultdict(list)
    wanted = set(aggregation.labels)
    for labels, row in operand.items():
        groups[tuple(pair for pair in labels if pair[0] in wanted)].append(row)
    return {
        labels: [
            _merge(aggregation, [value for value in values if value is not None]) for values in zip(*rows, strict=True)
        ]
        for labels, rows in groups.items()
    }


def _merge(aggregation: Aggregation, values: list[Value]) -> Value | None:
    if not values:
        return None
    buckets = [value for value in values if isinstance(value, Buckets)]
    if not buckets:
        return float(_AGGREGATES[aggregation.function]([value for value in values if isinstance(value, float)]))
    if aggregation.function != "sum" or "le" not in aggregation.labels or len(buckets) < len(values):
        raise UnsupportedError(
            "unsupported aggregation: the buckets of a histogram can only be summed, with sum by (le, …)"
        )
    if len({bucket.bounds for bucket in buckets}) == 1:
        return Buckets(
            buckets[0].bounds,
            [sum(counts) for counts in zip(*(histogram.counts for histogram in buckets), strict=True)],
        )
    sums: defaultdict[float, float] = defaultdict(float)
    for bucket in buckets:
        for bound, count in zip((*bucket.bounds, math.inf), bucket.counts, strict=True):
            sums[bound] += count
    ordered = sorted(sums)
    return Buckets(tuple(ordered[:-1]), [sums[bound] for bound in ordered])


def _topk(count: int, operand: Vector) -> Vector:
    if any(isinstance(value, Buckets) for row in operand.values() for value in row):
        raise UnsupportedError("topk does not apply to the buckets of a histogram")
    kept: Vector = {labels: [None] * len(row) for labels, row in operand.items()}
    for index, values in enumerate(zip(*operand.values(), strict=True)):
        present = [(value, labels) for labels, value in zip(operand, values, strict=True) if isinstance(value, float)]
        for value, labels in sorted(present, reverse=True)[:count]:
            kept[labels][index] = value
    return _without_empty_rows(kept)


def _quantile(quantile: float, value: Value | None) -> float | None:
    """Interpolate as `histogram_quantile` does; None without observations."""
    if value is None:
        return None
    if not isinstance(value, Buckets):
        raise UnsupportedError("histogram_quantile needs the buckets of a histogram: …_bucket, summed by le")
    counts = list(accumulate(value.counts, max))
    bounds = value.bounds
    if not counts or counts[-1] <= 0 or not bounds:
        return None
    rank = quantile * counts[-1]
    index = next(index for index, count in enumerate(counts) if count >= rank)
    if index == len(bounds):
        return bounds[-1]
    if index == 0 and bounds[0] <= 0:
        return bounds[0]
    low, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    inside = counts[index] - below
    return low + (bounds[index] - low) * ((rank - below) / inside if inside else 0.0)


def _combine(operator: str, left: Vector | float, right: Vector | float) -> Vector | float:
    operation, is_filter = _OPERATIONS[operator], operator not in _ARITHMETIC
    if isinstance(left, float):
        if is_filter:
            raise UnsupportedError("unsupported comparison with a number on its left: write a metric on the left")
        if isinstance(right, float):
            return operation(left, right)
        return _without_empty_rows(
            {_without_name(labels): [_apply(operation, left, value) for value in row] for labels, row in right.items()}
        )
    if isinstance(right, float):
        pairs = ((labels if is_filter else _without_name(labels), row) for labels, row in left.items())
        return _without_empty_rows(
            {labels: [_apply(operation, value, right) for value in row] for labels, row in pairs}
        )
    others = {_without_name(labels): row for labels, row in right.items()}
    found: Vector = {}
    for labels, row in left.items():
        if other := others.get(_without_name(labels)):
            values: Row = [_apply(operation, *pair) for pair in zip(row, other, strict=True)]
            found[labels if is_filter else _without_name(labels)] = values
    return _without_empty_rows(found)


def _apply(operation: Callable[[float, float], float], left: Value | None, right: Value | None) -> float | None:
    if isinstance(left, Buckets) or isinstance(right, Buckets):
        raise UnsupportedError("unsupported operation on the buckets of a histogram: use histogram_quantile")
    result = math.nan if left is None or right is None else operation(left, right)
    return result if math.isfinite(result) else None


def _without_name(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != "__name__")


def _without_empty_rows(vector: Vector) -> Vector:
    return {labels: row for labels, row in vector.items() if any(value is not None for value in row)}
