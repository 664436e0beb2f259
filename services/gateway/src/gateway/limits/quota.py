"""Quotas, and the status of a request against them.

The algorithm is the generic cell rate algorithm (ITU-T I.371). A bucket is one number: the time until which the granted
requests are spread at an even rate. The algorithm allows a burst of the whole quota, and after it requests at that
rate. It takes one key per bucket. Fixed windows would allow twice the quota around the end of a window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.web.headers import Header

MICROSECONDS = 1_000_000
"""Microseconds per second. Times are integers, so that rounding errors do not add up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """The number of `requests` that one subject may send in `seconds`. `name` describes the subject.

    `window_us` is how far a bucket may be ahead of now, in microseconds; `interval_us` is the time between requests,
    rounded down so that a whole burst fits. `headers` are the response headers that do not depend on the bucket, and
    `arguments` the arguments of the script in Redis.
    """

    name: str
    requests: int
    seconds: float = 60.0
    window_us: int = field(init=False)
    interval_us: int = field(init=False)
    headers: tuple[Header, ...] = field(init=False, repr=False)
    arguments: tuple[bytes, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        window_us = round(self.seconds * MICROSECONDS)
        interval_us = max(window_us // self.requests, 1)
        policy = f"{self.requests};w={self.seconds:g}"
        object.__setattr__(self, "window_us", window_us)
        object.__setattr__(self, "interval_us", interval_us)
        object.__setattr__(self, "arguments", (b"%d" % interval_us, b"%d" % window_us))
        object.__setattr__(
            self,
            "headers",
            ((b"ratelimit-limit", b"%d" % self.requests), (b"ratelimit-policy", policy.encode())),
        )

    def fits(self, held_us: int) -> bool:
        """Return whether one more request fits into a bucket that is `held_us` ahead of now."""
        return held_us + self.interval_us <= self.window_us

    def remaining(self, held_us: int) -> int:
        """Return how many requests fit into a bucket that is `held_us` ahead of now."""
        return max(0, (self.window_us - held_us) // self.interval_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One request against the bucket of `subject`: a user, an address or an account name."""

    quota: Quota
    subject: str

    @property
    def key(self) -> bytes:
        """The name of the bucket."""
        return f"rate:{self.quota.name}:{self.subject}".encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimitStatus:
    """The state of the bucket with the fewest `remaining` requests. The bucket is empty after `reset_s` seconds.

    Seconds are rounded up. `retry_after_s` is None if the request was granted.
    """

    quota: Quota
    remaining: int
    reset_s: int
    retry_after_s: int | None

    def headers(self) -> tuple[Header, ...]:
        """Return the response headers (draft-ietf-httpapi-ratelimit-headers-07, the last with one field for each)."""
        return (
            *self.quota.headers,
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_s),
        )


def get_rate_limit_status(hits: Sequence[Hit], held_us: Sequence[int], *, granted: bool) -> RateLimitStatus:
    """Return the status of the request.

    `held_us` has the microseconds that each hit's bucket is ahead of now: after the hits if they were `granted`, else
    before them.
    """
    buckets = list(zip([hit.quota for hit in hits], held_us, strict=True))
    retry_after_s = None
    if not granted:
        buckets = [(quota, held) for quota, held in buckets if not quota.fits(held)]
        wait_us = max(held + quota.interval_us - quota.window_us for quota, held in buckets)
        retry_after_s = max(1, math.ceil(wait_us / MICROSECONDS))
    quota, held = min(buckets, key=lambda bucket: (bucket[0].remaining(bucket[1]), -bucket[1]))
    return RateLimitStatus(
        quota=quota,
        remaining=quota.remaining(held),
        reset_s=math.ceil(held / MICROSECONDS),
        retry_after_s=retry_after_s,
    )
