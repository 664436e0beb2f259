"""The arithmetic of a bucket, with a fake clock."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.buckets import LocalBuckets
from gateway.limits.quota import MICROSECONDS, Hit, Quota, get_rate_limit_status

QUOTA = Quota(name="user", requests=10, seconds=60)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=200))
def test_no_interval_grants_more_than_a_burst_and_its_rate(pauses: list[float]) -> None:
    clock = Clock()
    buckets = LocalBuckets(clock=clock)
    granted_at: list[float] = []
    for pause in pauses:
        clock.now += pause
        if buckets.take([Hit(quota=QUOTA, subject="ann")])[0]:
            granted_at.append(clock.now)
    for first, begin in enumerate(granted_at):
        for last, end in enumerate(granted_at[first:], 1):
            assert last <= QUOTA.requests + (end - begin) * MICROSECONDS / QUOTA.interval_us + 1e-3


@given(st.integers(min_value=1, max_value=600), st.floats(min_value=1, max_value=3600))
def test_request_is_granted_when_retry_after_has_passed(requests: int, seconds: float) -> None:
    clock = Clock()
    buckets = LocalBuckets(clock=clock)
    hit = Hit(quota=Quota(name="user", requests=requests, seconds=seconds), subject="ann")
    remaining = []
    while True:
        granted, held = buckets.take([hit])
        status = get_rate_limit_status([hit], held, granted=granted)
        if not granted:
            break
        remaining.append(status.remaining)
    assert remaining == list(range(requests - 1, -1, -1))
    assert status.retry_after_s is not None
    clock.now += status.retry_after_s
    assert buckets.take([hit])[0]
    clock.now += status.reset_s + status.retry_after_s
    granted, held = buckets.take([hit])
    assert get_rate_limit_status([hit], held, granted=granted).remaining == requests - 1


def test_rejected_request_is_counted_in_no_bucket() -> None:
    clock = Clock()
    buckets = LocalBuckets(clock=clock)
    tight = Hit(quota=Quota(name="user", requests=1), subject="ann")
    wide = Hit(quota=Quota(name="address", requests=5), subject="203.0.113.1")
    assert buckets.take([wide, tight])[0]
    granted, held = buckets.take([wide, tight])
    status = get_rate_limit_status([wide, tight], held, granted=granted)
    assert (granted, status.quota.name, status.retry_after_s) == (False, "user", 60)
    _, held = buckets.take([wide])
    assert get_rate_limit_status([wide], held, granted=True).remaining == 3


def test_oldest_bucket_is_evicted_when_there_are_too_many() -> None:
    buckets = LocalBuckets(clock=Clock(), max_buckets=2)
    once = Quota(name="user", requests=1)
    for subject in ("ann", "bob", "cid"):
        assert buckets.take([Hit(quota=once, subject=subject)])[0]
    assert not buckets.take([Hit(quota=once, subject="cid")])[0]
    assert not buckets.take([Hit(quota=once, subject="bob")])[0]
    assert buckets.take([Hit(quota=once, subject="ann")])[0]


def test_request_is_granted_when_the_quota_exceeds_the_clock_resolution() -> None:
    hit = Hit(quota=Quota(name="user", requests=10**9), subject="ann")
    granted, held = LocalBuckets(clock=Clock()).take([hit])
    assert granted
    assert get_rate_limit_status([hit], held, granted=granted).remaining > 0
