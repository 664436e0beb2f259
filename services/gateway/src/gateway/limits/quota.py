"""What a limit is, and what it says to a request.

The arithmetic is the generic cell rate algorithm (ITU-T I.371): a bucket is one number, the moment until which the
requests already granted are spread at an even pace. It allows a burst of the whole quota and then the pace, has no edge
of a window at which twice as much fits, and costs one key.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MICROSECONDS = 1_000_000
"""In a second. Whole numbers, because a burst of three thirds of a float is no whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """`requests` in `seconds`; `name` is what the quota is counted by."""

    name: str
    requests: int
    seconds: float = 60.0

    @property
    def window_us(self) -> int:
        """How far ahead of now a bucket may be, in microseconds."""
        return round(self.seconds * MICROSECONDS)

    @property
    def interval_us(self) -> int:
        """The pace: microseconds from one request to the next, rounded down so that a whole burst fits, 1 at least."""
        return max(self.window_us // self.requests, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """One request against one bucket: `whose` is a user, an address or an account's name."""

    quota: Quota
    whose: str

    @property
    def key(self) -> str:
        """The bucket's name among all."""
        return f"rate:{self.quota.name}:{self.whose}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the tightest bucket says: `remaining` requests now, all of them after `reset_s` (both whole, rounded up)."""

    quota: Quota
    remaining: int
    reset_s: int
    retry_after_s: int | None

    @property
    def allowed(self) -> bool:
        """Whether the request was granted, and charged."""
        return self.retry_after_s is None

    def headers(self) -> dict[str, str]:
        """As clients read them (draft-ietf-httpapi-ratelimit-headers-07, the last with a field for each)."""
        return {
            "RateLimit-Limit": str(self.quota.requests),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
            "RateLimit-Policy": f"{self.quota.requests};w={self.quota.seconds:g}",
        }


def fits(quota: Quota, held_us: int) -> bool:
    """Whether one more request fits into a bucket that is `held_us` ahead of now."""
    return held_us + quota.interval_us <= quota.window_us


def verdict(charges: Sequence[Charge], held_us: Sequence[int], *, granted: bool) -> Verdict:
    """Judge by the state of each charge's bucket, after the charge where `granted` and as it was found where not."""
    states = list(zip((charge.quota for charge in charges), held_us, strict=True))
    if not granted:
        states = [(quota, held) for quota, held in states if not fits(quota, held)]
    quota, held = min(states, key=lambda state: (_remaining(*state), -state[1]))
    wait = max(held + quota.interval_us - quota.window_us for quota, held in states)
    return Verdict(
        quota=quota,
        remaining=_remaining(quota, held),
        reset_s=math.ceil(held / MICROSECONDS),
        retry_after_s=None if granted else max(1, math.ceil(wait / MICROSECONDS)),
    )


def _remaining(quota: Quota, held_us: int) -> int:
    return max(0, (quota.window_us - held_us) // quota.interval_us)
