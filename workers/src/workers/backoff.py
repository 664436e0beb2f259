"""How long to wait before the next attempt."""

import random

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0


def backoff_s(attempt: int) -> float:
    """Seconds after the failure of `attempt` (from 1 on): 1, 2, 4 … 300, each shortened at random by up to a half.

    The randomness keeps what failed together from coming back together.
    """
    pause = min(FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 32), LONGEST_PAUSE_S)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
