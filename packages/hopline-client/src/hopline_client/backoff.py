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
        """Return the delay after `attempt`, in seconds. Attempts are numbered from 0."""
        doublings = min(attempt, 32)  # a larger power could exceed the range of a float
        return self.rng.uniform(0, min(self.max_s, self.first_s * 2.0**doublings))


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Up to `retries` retries. The delays before them have at most `budget_s` seconds in total."""

    retries: int = 3
    budget_s: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)


NO_RETRIES = RetryPolicy(retries=0)
