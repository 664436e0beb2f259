"""The timeline with folded idle time."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console.timeline import Timeline

INTERVALS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)).map(lambda pair: (pair[0], pair[0] + pair[1])), min_size=1
)


class TestTimeline:
    @given(INTERVALS)
    @example([(0, 0), (2**27, 2**27)])
    def test_positions_are_in_the_order_of_times(self, intervals: list[tuple[int, int]]) -> None:
        line = Timeline(intervals)
        times = sorted(time for interval in intervals for time in interval)

        positions = [line.at(time) for time in times]

        assert all(earlier <= later + 1e-9 for earlier, later in pairwise(positions))
        assert 0.0 <= positions[0] <= positions[-1] <= 1.0 + 1e-9
        assert line.at(times[0] - 1) == positions[0]

    def test_only_long_waits_are_folded(self) -> None:
        line = Timeline([(0, 50), (55, 100), (1_000_100, 1_000_200)])

        (fold,) = line.folds()
        assert (fold.start, fold.end) == (100, 1_000_100)
        assert fold.right - fold.left < 0.05
        busy_time = 50 + 45 + 100
        assert line.at(50) == pytest.approx(50 / (busy_time + 5 + 0.04 * busy_time))  # 5 is the short wait

    def test_wait_is_not_folded_when_a_longer_span_covers_it(self) -> None:
        assert not Timeline([(0, 100), (10, 20), (105, 110)]).folds()

    def test_timeline_has_one_position_when_there_is_no_duration(self) -> None:
        assert Timeline([(5, 5)]).at(5) == 0.0
