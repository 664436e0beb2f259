"""Delays between attempts."""

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Full jitter: a random part of a delay that doubles with each attempt, up to `max_s` seconds."""

    first_s: float = 0.25
    max_s: float = 5.0
    rng: random.Random = field(default_factory=random.Random)

    def delay_s(self, attempt: int) -> float:
        """Return the delay after the given attempt, the first of which is 0."""
        return self.rng.uniform(0, min(self.max_s, self.first_s * 2.0 ** min(attempt, 32)))


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """At most `retries` further attempts, which together wait at most `budget_s` seconds."""

    retries: int = 3
    budget_s: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)


NO_RETRIES = RetryPolicy(retries=0)
