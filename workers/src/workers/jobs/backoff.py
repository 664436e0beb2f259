"""The delay before the next attempt."""

import random

BASE_DELAY_S = 1.0
MAX_DELAY_S = 300.0


def backoff_s(attempt: int) -> float:
    """Return the delay in seconds after a failed attempt, counted from 1.

    The delay doubles from `BASE_DELAY_S` up to `MAX_DELAY_S`. It is reduced by a random share of up to a half, which
    spreads the retries of jobs that failed together.
    """
    doublings = min(attempt - 1, 32)  # a float overflows at 1024
    delay_s = min(BASE_DELAY_S * 2.0**doublings, MAX_DELAY_S)
    return delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, no cryptography
