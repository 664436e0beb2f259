"""How many requests a bucket grants, and when, on a fake clock."""

from hypothesis import given
from hypothesis import strategies as st
from services.gateway.tests.fakes import FakeClock

from gateway.limits.buckets import LocalBuckets
from gateway.limits.quota import MICROSECONDS, Hit, Quota, get_rate_limit_status

QUOTA = Quota(name="user", requests=10, seconds=60)
ROUNDING = 1e-3


@given(st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=200))
def test_requests_granted_in_any_interval_are_limited_to_a_burst_plus_the_rate(pauses: list[float]) -> None:
    clock = FakeClock()
    buckets = LocalBuckets(clock=clock)
    granted_at: list[float] = []
    for pause in pauses:
        clock.now += pause
        if buckets.take([Hit(quota=QUOTA, subject="ann")])[0]:
            granted_at.append(clock.now)
    interval_s = QUOTA.interval_us / MICROSECONDS
    for index, begin in enumerate(granted_at):
        for granted, end in enumerate(granted_at[index:], 1):
            assert granted <= QUOTA.requests + (end - begin) / interval_s + ROUNDING


@given(st.integers(min_value=1, max_value=600), st.floats(min_value=1, max_value=3600))
def test_request_is_granted_when_retry_after_has_passed(requests: int, seconds: float) -> None:
    clock = FakeClock()
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


def test_rejected_request_is_not_counted_in_any_bucket() -> None:
    clock = FakeClock()
    buckets = LocalBuckets(clock=clock)
    by_user = Hit(quota=Quota(name="user", requests=1), subject="ann")
    by_address = Hit(quota=Quota(name="address", requests=5), subject="203.0.113.1")
    assert buckets.take([by_address, by_user])[0]
    granted, held = buckets.take([by_address, by_user])
    status = get_rate_limit_status([by_address, by_user], held, granted=granted)
    assert (granted, status.quota.name, status.retry_after_s) == (False, "user", 60)
    _, held = buckets.take([by_address])
    assert get_rate_limit_status([by_address], held, granted=True).remaining == 3, "two of five were counted"


def test_oldest_bucket_is_evicted_when_there_are_too_many() -> None:
    buckets = LocalBuckets(clock=FakeClock(), max_buckets=2)
    once = Quota(name="user", requests=1)
    ann, bob, cid = ([Hit(quota=once, subject=subject)] for subject in ("ann", "bob", "cid"))
    for hits in (ann, bob, cid):
        assert buckets.take(hits)[0]
    assert not buckets.take(cid)[0]
    assert not buckets.take(bob)[0]
    assert buckets.take(ann)[0], "the bucket of ann was evicted, so the next one is empty"


def test_request_is_granted_when_the_quota_exceeds_the_clock_resolution() -> None:
    hit = Hit(quota=Quota(name="user", requests=10**9), subject="ann")
    granted, held = LocalBuckets(clock=FakeClock()).take([hit])
    assert granted
    assert get_rate_limit_status([hit], held, granted=granted).remaining > 0
