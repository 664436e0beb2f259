"""One time series: its points in one flat array, and the state for adding the next point.

A counter is kept as a running total over the restarts of its process: each cumulative or delta point adds its
increment. So a rate is always the difference of two points, also after a restart between them.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from observatory.metric_names import Labels

MAX_EXEMPLARS: Final = 16
_EXEMPLAR_BYTES: Final = 260  # estimated memory of one exemplar
_SERIES_BYTES: Final = 900  # estimated memory of a series without labels and rows
_DOUBLE_BYTES: Final = 8


class Kind(Enum):
    """`COUNTER` only grows; `GAUGE` is also an up-down counter; a `HISTOGRAM` has a sum and cumulative buckets."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Exemplar(NamedTuple):
    """A recorded value, and the trace in which it was recorded. The time is in seconds since the epoch."""

    time_s: float
    value: float
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point as an exporter sent it.

    `values` has one number, or for a histogram the sum and then the cumulative count of each bucket, +Inf last.
    `start_s` is 0 if unknown. An increment (`is_delta`) counts from the point before.
    """

    time_s: float
    start_s: float
    values: Sequence[float]
    is_delta: bool = False
    bounds: tuple[float, ...] = ()
    exemplars: Sequence[Exemplar] = ()


@dataclass(slots=True, kw_only=True)
class Series:
    """Points of one metric with one set of labels; a row is the time and then the values."""

    name: str
    kind: Kind
    labels: Labels
    bounds: tuple[float, ...] = ()
    rows: "array[float]" = field(default_factory=lambda: array("d"))
    exemplars: deque[Exemplar] = field(default_factory=lambda: deque(maxlen=MAX_EXEMPLARS))
    touched_s: float = 0.0  # when the store added the last point
    _raw: list[float] | None = None  # values of the last point, as sent
    _start_s: float = 0.0

    @property
    def width(self) -> int:
        """The number of values in a row, including its time."""
        return 3 + len(self.bounds) if self.kind is Kind.HISTOGRAM else 2

    def __len__(self) -> int:
        return len(self.rows) // self.width

    def label(self, name: str) -> str:
        """Return the value of a label, "" if it has none."""
        return next((value for label, value in self.labels if label == name), "")

    @property
    def times(self) -> "array[float]":
        """The times of the rows, in order."""
        return self.rows[:: self.width]

    @property
    def last_s(self) -> float:
        """The time of the last row; minus infinity without rows."""
        return self.rows[-self.width] if self.rows else float("-inf")

    @property
    def byte_count(self) -> int:
        """The estimated memory of the series in bytes."""
        labels = sum(len(name) + len(value) for name, value in self.labels)
        kept = len(self.rows) * _DOUBLE_BYTES + len(self.exemplars) * _EXEMPLAR_BYTES
        return _SERIES_BYTES + 2 * labels + 4 * _DOUBLE_BYTES * self.width + kept

    def add(self, point: Point, *, oldest_s: float) -> None:
        """Append the point, which must be later than the last row. A start time before `oldest_s` gets no row."""
        if self.kind is Kind.GAUGE and not point.is_delta:
            self._append(point.time_s, point.values)
        else:
            self._add_to_total(point, oldest_s)
        self.exemplars.extend(point.exemplars)

    def trim(self, *, before_s: float, max_rows: int) -> int:
        """Remove the rows before `before_s` and the oldest rows above `max_rows`. Return the number of removed rows."""
        rows = max(len(self) - max_rows, bisect_left(self.times, before_s), 0)
        if rows:
            del self.rows[: rows * self.width]
        while self.exemplars and self.exemplars[0].time_s < before_s:
            self.exemplars.popleft()
        return rows

    def _add_to_total(self, point: Point, oldest_s: float) -> None:
        """Append a row with the new total. A new start time gets a row, so that rates include the first increment."""
        total = list(self.rows[1 - self.width :]) if self.rows else [0.0] * (self.width - 1)
        is_restart = point.start_s > self._start_s or self._raw is None
        if is_restart and max(oldest_s, self.last_s) < point.start_s < point.time_s:
            self._append(point.start_s, total)
        raw = [0.0] * len(total) if self._raw is None or point.is_delta or is_restart else self._raw
        if self.kind is Kind.GAUGE:  # increments of an up-down counter: they may be negative
            increments = list(point.values)
        elif _has_shrunk(self.kind, point.values, raw):
            increments = list(point.values)  # the counter restarted without a new start time
        else:
            increments = [new - old for new, old in zip(point.values, raw, strict=True)]
        self._raw, self._start_s = list(point.values), max(point.start_s, self._start_s)
        self._append(point.time_s, [old + new for old, new in zip(total, increments, strict=True)])

    def _append(self, time_s: float, values: Sequence[float]) -> None:
        self.rows.append(time_s)
        self.rows.extend(values)


def _has_shrunk(kind: Kind, values: Sequence[float], before: Sequence[float]) -> bool:
    """Return whether a value decreased that can only grow. The sum of a histogram can decrease by negative values."""
    first = 1 if kind is Kind.HISTOGRAM else 0
    return any(new < old for new, old in zip(values[first:], before[first:], strict=True))
