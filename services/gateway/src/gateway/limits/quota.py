"""What a limit is, and what it says to a request.

The arithmetic is the generic cell rate algorithm (ITU-T I.371): a bucket is one number, the moment until which the
requests already granted are spread at an even pace. It allows a burst of the whole quota and then the pace, has no edge
of a window at which twice as much fits, and costs one key.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.headers import Pair

MICROSECONDS = 1_000_000
"""In a second. Whole numbers, because a burst of three thirds of a float is no whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """`requests` in `seconds`; `name` is what the quota is counted by.

    `window_us` is how far ahead of now a bucket may be, in microseconds; `interval_us` the pace from one request to the
    next, rounded down so that a whole burst fits, 1 at least. `headers` are what all answers say of it, `arguments`
    what Redis is told of it.
    """

    name: str
    requests: int
    seconds: float = 60.0
    window_us: int = field(init=False)
    interval_us: int = field(init=False)
    headers: tuple[Pair, ...] = field(init=False, repr=False)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """One request against one bucket: `whose` is a user, an address or an account's name."""

    quota: Quota
    whose: str

    @property
    def key(self) -> bytes:
        """The bucket's name among all."""
        return f"rate:{self.quota.name}:{self.whose}".encode()


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

    def headers(self) -> tuple[Pair, ...]:
        """As clients read them (draft-ietf-httpapi-ratelimit-headers-07, the last with a field for each)."""
        return (
            *self.quota.headers,
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_s),
        )


def fits(quota: Quota, held_us: int) -> bool:
    """Whether one more request fits into a bucket that is `held_us` ahead of now."""
    return held_us + quota.interval_us <= quota.window_us


def verdict(charges: Sequence[Charge], held_us: Sequence[int], *, granted: bool) -> Verdict:
    """Judge by the state of each charge's bucket, after the charge where `granted` and as it was found where not."""
    states = list(zip([charge.quota for charge in charges], held_us, strict=True))
    wait_s = None
    if not granted:
        states = [(quota, held) for quota, held in states if not fits(quota, held)]
        wait_us = max(held + quota.interval_us - quota.window_us for quota, held in states)
        wait_s = max(1, math.ceil(wait_us / MICROSECONDS))
    quota, held = min(states, key=_room)
    reset_s = math.ceil(held / MICROSECONDS)
    return Verdict(quota=quota, remaining=_remaining(quota, held), reset_s=reset_s, retry_after_s=wait_s)


def _room(state: tuple[Quota, int]) -> tuple[int, int]:
    quota, held = state
    return _remaining(quota, held), -held


def _remaining(quota: Quota, held_us: int) -> int:
    return max(0, (quota.window_us - held_us) // quota.interval_us)
