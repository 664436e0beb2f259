"""The metric store: time series, bounded in number, rows, age and memory.

If a new series does not fit, idle series and then the oldest points are evicted. A series is idle if it got no point
for a minute, for example because its process ended. If that is not enough, the new series is dropped and counted. So a
flood of new series does not remove others.
"""

import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from observatory.metric_names import Labels
from observatory.series import Kind, Point, Series

Key: TypeAlias = "tuple[str, Kind, Labels]"

IDLE_SECONDS: Final = 60.0
_PASSES: Final = 4  # of one eviction; each removes up to a quarter of the time range
_FUTURE_SECONDS: Final = 60.0  # tolerance for the clock of another machine

MORE_SERIES: Final = "more series than are kept"
OUT_OF_TIME: Final = "too old or in the future"
OUT_OF_ORDER: Final = "not later than the point before"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLimits:
    """Limits of the store."""

    series: int
    rows: int  # of one series
    seconds: float  # maximum age of a row
    total_bytes: int  # estimated memory of all series


class MetricStore:
    """Series by name.

    `dropped` counts points that were not stored, by reason. `evicted_points` were removed early to save memory.
    """

    def __init__(self, limits: MetricLimits, *, clock: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._clock = clock
        self._series: OrderedDict[Key, Series] = OrderedDict()  # by the time of the last added point
        self._by_name: defaultdict[str, dict[Key, Series]] = defaultdict(dict)
        self._target_bytes = limits.total_bytes * 7 // 8
        self._next_pass_s = 0.0
        self.byte_count = 0
        self.point_count = 0
        self.dropped: Counter[str] = Counter()
        self.evicted_points = 0

    def __len__(self) -> int:
        return len(self._series)

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())

    def columns(self, name: str) -> list[tuple[Series, int]]:
        """Return the series with this name in Prometheus, each with the column of its rows.

        Column 0 means all the buckets of a histogram (`…_bucket`). An unknown name has no series.
        """
        if plain := self._by_name.get(name):
            return [(series, 1) for series in plain.values() if series.kind is not Kind.HISTOGRAM]
        base, _, part = name.rpartition("_")
        histograms = [series for series in self._by_name.get(base, {}).values() if series.kind is Kind.HISTOGRAM]
        match part:
            case "bucket":
                return [(series, 0) for series in histograms]
            case "sum":
                return [(series, 1) for series in histograms]
            case "count":
                return [(series, series.width - 1) for series in histograms]
            case _:
                return []

    def add(self, name: str, kind: Kind, labels: Labels, point: Point) -> None:
        """Store the point, or count it in `dropped` by the reason."""
        now_s = self._clock()
        oldest_s = now_s - self._limits.seconds
        if not oldest_s <= point.time_s <= now_s + _FUTURE_SECONDS:
            self.dropped[OUT_OF_TIME] += 1
            return
        key = (name, kind, labels)
        series = self._series.get(key)
        if series is not None and series.bounds != point.bounds:  # a new version with other buckets
            self._remove(key)
            series = None
        if series is None:
            if not self._has_room(now_s):
                self.dropped[MORE_SERIES] += 1
                return
            series = Series(name=name, kind=kind, labels=labels, bounds=point.bounds)
            self._series[key] = self._by_name[name][key] = series
            self.byte_count += series.byte_count
        if point.time_s <= series.last_s:
            self.dropped[OUT_OF_ORDER] += 1
            return
        with _Measured(self, series):
            series.add(point, oldest_s=oldest_s)
            series.trim(before_s=oldest_s, max_rows=self._limits.rows)
        series.touched_s = now_s
        self._series.move_to_end(key)
        if self.byte_count > self._limits.total_bytes:
            self._shrink(now_s)

    def expire(self) -> None:
        """Remove the series that got no point within the maximum age of a point."""
        while self._series and next(iter(self._series.values())).touched_s < self._clock() - self._limits.seconds:
            self._remove(next(iter(self._series)))

    def _has_room(self, now_s: float) -> bool:
        """Evict idle series and old points if one more series needs their space. Series keep their latest points.

        Return whether the new series fits.
        """
        self.expire()
        if self.byte_count > self._target_bytes and now_s >= self._next_pass_s:
            self._free(now_s)
            self._next_pass_s = now_s + 1  # a flood of new series must not cause one pass per series
        if self.byte_count > self._target_bytes:
            return False
        if len(self._series) < self._limits.series:
            return True
        if now_s - self._stalest().touched_s <= IDLE_SECONDS:
            return False
        self._evict_stalest()
        return True

    def _shrink(self, now_s: float) -> None:
        """Free an eighth of the memory, so that the next points need no eviction."""
        self._free(now_s)
        while self.byte_count > self._target_bytes:
            self._evict_stalest()

    def _free(self, now_s: float) -> None:
        """Evict idle series, then up to four times the oldest quarter of the rows, until `_target_bytes` is reached."""
        while self.byte_count > self._target_bytes and now_s - self._stalest().touched_s > IDLE_SECONDS:
            self._evict_stalest()
        for _ in range(_PASSES):
            if self.byte_count <= self._target_bytes or not self._drop_oldest_rows():
                break

    def _stalest(self) -> Series:
        return next(iter(self._series.values()))

    def _evict_stalest(self) -> None:
        self.evicted_points += len(self._stalest())
        self._remove(next(iter(self._series)))

    def _drop_oldest_rows(self) -> int:
        filled = [series for series in self if series.rows]
        first_s = min((series.rows[0] for series in filled), default=0.0)
        last_s = max((series.last_s for series in filled), default=0.0)
        rows = 0
        for series in filled:
            with _Measured(self, series):
                rows += series.trim(
                    before_s=min(first_s + (last_s - first_s) / 4, series.last_s), max_rows=self._limits.rows
                )
        self.evicted_points += rows
        return rows

    def _remove(self, key: Key) -> None:
        series = self._series.pop(key)
        named = self._by_name[series.name]
        del named[key]
        if not named:
            del self._by_name[series.name]
        self.byte_count -= series.byte_count
        self.point_count -= len(series)


class _Measured:
    """Updates the sums of a store when one of its series changes within the block."""

    def __init__(self, store: MetricStore, series: Series) -> None:
        self._store = store
        self._series = series

    def __enter__(self) -> None:
        self._count(-1)

    def __exit__(self, *_error: object) -> None:
        self._count(1)

    def _count(self, sign: int) -> None:
        self._store.byte_count += sign * self._series.byte_count
        self._store.point_count += sign * len(self._series)
