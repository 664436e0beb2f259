"""The timeline of a trace, with long idle stretches folded.

An order mostly waits for its next step. Drawn to scale, the spans would be too small to see. Therefore an idle stretch
longer than a fifth of the busy time is drawn as a narrow strip. The line of a span shows how long after the end of its
parent it began.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

_FOLD_FROM = 0.2  # a longer idle stretch is folded, as a share of the busy time
_FOLD_TO = 0.04  # width of a folded stretch, as a share of the busy time


class Stretch(NamedTuple):
    """A part of the timeline: its start and end, its position, and whether it is folded."""

    start: float
    end: float
    left: float
    right: float
    folded: bool


class Timeline:
    """Maps times to positions between 0 and 1."""

    def __init__(self, intervals: Iterable[tuple[float, float]]) -> None:
        busy = _union(intervals)
        busy_time = sum(end - start for start, end in busy) or 1.0
        stretches = list(_stretches(busy, busy_time))
        width = stretches[-1].right or 1.0
        self.stretches = [item._replace(left=item.left / width, right=item.right / width) for item in stretches]
        self._ends = [item.end for item in self.stretches]

    def at(self, time: float) -> float:
        """Return the position of a time. Times outside the timeline are at its nearer end."""
        stretch = self.stretches[min(bisect_left(self._ends, time), len(self._ends) - 1)]
        length = stretch.end - stretch.start
        share = min(1.0, max(0.0, (time - stretch.start) / length)) if length else 0.0
        return stretch.left + share * (stretch.right - stretch.left)

    def folds(self) -> list[Stretch]:
        """Return the folded stretches."""
        return [stretch for stretch in self.stretches if stretch.folded]


def _union(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _stretches(busy: list[tuple[float, float]], busy_time: float) -> Iterator[Stretch]:
    first_start, first_end = busy[0]
    left = first_end - first_start
    yield Stretch(first_start, first_end, 0.0, left, folded=False)
    for (_, idle_from), (start, end) in pairwise(busy):
        idle = start - idle_from
        folded = idle > _FOLD_FROM * busy_time
        right = left + (_FOLD_TO * busy_time if folded else idle)
        yield Stretch(idle_from, start, left, right, folded)
        left = right + (end - start)  # the times are large: without the parentheses, the sum is rounded
        yield Stretch(start, end, right, left, folded=False)
