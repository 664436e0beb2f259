"""The delay before the next attempt."""

import random

BASE_DELAY_S = 1.0
MAX_DELAY_S = 300.0


def backoff_s(attempt: int) -> float:
    """Return the delay in seconds after failed attempt 1, 2, 3 …: 1, 2, 4 … 300, each reduced at random by up to half.

    The jitter spreads the retries of jobs that failed together.
    """
    delay_s = min(BASE_DELAY_S * 2.0 ** min(attempt - 1, 32), MAX_DELAY_S)
    return delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, no cryptography
