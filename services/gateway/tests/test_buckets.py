"""The arithmetic of a bucket, by a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.buckets import LocalBuckets
from gateway.limits.quota import MICROSECONDS, Charge, Quota, verdict

QUOTA = Quota(name="user", requests=10, seconds=60)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=200))
def test_no_span_of_time_gets_more_than_a_burst_and_its_pace(pauses: list[float]) -> None:
    clock = Clock()
    buckets = LocalBuckets(clock=clock)
    granted_at: list[float] = []
    for pause in pauses:
        clock.now += pause
        if buckets.take([Charge(quota=QUOTA, whose="ann")])[0]:
            granted_at.append(clock.now)
    for first, begin in enumerate(granted_at):
        for last, end in enumerate(granted_at[first:], 1):
            assert last <= QUOTA.requests + (end - begin) * MICROSECONDS / QUOTA.interval_us + 1e-3


@given(st.integers(min_value=1, max_value=600), st.floats(min_value=1, max_value=3600))
def test_waiting_as_long_as_told_is_enough_and_reset_gives_all_back(requests: int, seconds: float) -> None:
    clock = Clock()
    buckets = LocalBuckets(clock=clock)
    charge = Charge(quota=Quota(name="user", requests=requests, seconds=seconds), whose="ann")
    seen = []
    while True:
        granted, held = buckets.take([charge])
        judged = verdict([charge], held, granted=granted)
        if not granted:
            break
        seen.append(judged.remaining)
    assert seen == list(range(requests - 1, -1, -1))
    assert judged.retry_after_s is not None
    clock.now += judged.retry_after_s
    assert buckets.take([charge])[0]
    clock.now += judged.reset_s + judged.retry_after_s
    granted, held = buckets.take([charge])
    assert verdict([charge], held, granted=granted).remaining == requests - 1


def test_a_refused_request_costs_nothing_in_any_bucket() -> None:
    clock = Clock()
    buckets = LocalBuckets(clock=clock)
    tight = Charge(quota=Quota(name="user", requests=1), whose="ann")
    wide = Charge(quota=Quota(name="address", requests=5), whose="203.0.113.1")
    assert buckets.take([wide, tight])[0]
    granted, held = buckets.take([wide, tight])
    judged = verdict([wide, tight], held, granted=granted)
    assert (granted, judged.quota.name, judged.retry_after_s) == (False, "user", 60)
    _, held = buckets.take([wide])
    assert verdict([wide], held, granted=True).remaining == 3


def test_memory_is_bounded_and_forgets_who_came_longest_ago() -> None:
    buckets = LocalBuckets(clock=Clock(), most=2)
    once = Quota(name="user", requests=1)
    for whose in ("ann", "bob", "cid"):
        assert buckets.take([Charge(quota=once, whose=whose)])[0]
    assert not buckets.take([Charge(quota=once, whose="cid")])[0]
    assert not buckets.take([Charge(quota=once, whose="bob")])[0]
    assert buckets.take([Charge(quota=once, whose="ann")])[0]


def test_a_quota_faster_than_the_clock_is_no_error() -> None:
    charge = Charge(quota=Quota(name="user", requests=10**9), whose="ann")
    granted, held = LocalBuckets(clock=Clock()).take([charge])
    assert granted
    assert verdict([charge], held, granted=granted).remaining > 0
