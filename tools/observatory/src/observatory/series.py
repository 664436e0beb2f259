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
_EXEMPLAR_BYTES: Final = 260
_SERIES_BYTES: Final = 900
_DOUBLE_BYTES: Final = 8


class Kind(Enum):
    """`COUNTER` only grows; `GAUGE` is also an up-down counter; a `HISTOGRAM` has a sum and cumulative buckets."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Exemplar(NamedTuple):
    """A recorded value and the trace that it was recorded in; the time is in seconds since the epoch."""

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
    touched_s: float = 0.0
    _raw: list[float] | None = None
    _start_s: float = 0.0

    @property
    def width(self) -> int:
        """Numbers in a row."""
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
        """An estimate of the memory that it takes."""
        labels = sum(len(name) + len(value) for name, value in self.labels)
        kept = len(self.rows) * _DOUBLE_BYTES + len(self.exemplars) * _EXEMPLAR_BYTES
        return _SERIES_BYTES + 2 * labels + 4 * _DOUBLE_BYTES * self.width + kept

    def add(self, point: Point, *, oldest_s: float) -> None:
        """Append the point, which is later than the last one; rows before `oldest_s` are not made."""
        if self.kind is Kind.GAUGE and not point.is_delta:
            self._append(point.time_s, point.values)
        else:
            self._count(point, oldest_s)
        self.exemplars.extend(point.exemplars)

    def trim(self, *, before_s: float, max_rows: int) -> int:
        """Remove rows before a time, and the oldest of too many; return how many."""
        rows = max(len(self) - max_rows, bisect_left(self.times, before_s), 0)
        if rows:
            del self.rows[: rows * self.width]
        while self.exemplars and self.exemplars[0].time_s < before_s:
            self.exemplars.popleft()
        return rows

    def _count(self, point: Point, oldest_s: float) -> None:
        """Add an increment to the total. A new start is a row of its own, so that the first increment is seen."""
        total = list(self.rows[1 - self.width :]) if self.rows else [0.0] * (self.width - 1)
        is_restart = point.start_s > self._start_s or self._raw is None
        if is_restart and max(oldest_s, self.last_s) < point.start_s < point.time_s:
            self._append(point.start_s, total)
        raw = [0.0] * len(total) if self._raw is None or point.is_delta or is_restart else self._raw
        if self.kind is Kind.GAUGE:  # increments of an up-down counter: they may be negative
            increments = list(point.values)
        elif _has_shrunk(self.kind, point.values, raw):
            increments = list(point.values)  # a reset that the start time does not show
        else:
            increments = [new - old for new, old in zip(point.values, raw, strict=True)]
        self._raw, self._start_s = list(point.values), max(point.start_s, self._start_s)
        self._append(point.time_s, [old + new for old, new in zip(total, increments, strict=True)])

    def _append(self, time_s: float, values: Sequence[float]) -> None:
        self.rows.append(time_s)
        self.rows.extend(values)


def _has_shrunk(kind: Kind, values: Sequence[float], before: Sequence[float]) -> bool:
    """Compare what only grows: not the sum of a histogram, which shrinks if negative values are recorded."""
    first = 1 if kind is Kind.HISTOGRAM else 0
    return any(new < old for new, old in zip(values[first:], before[first:], strict=True))
