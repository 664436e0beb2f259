"""A retry budget limits retries to a fraction of the calls to a service and some per second, also if all calls fail.

A fixed number of retries per call would multiply the load of a service when it has the least capacity, and keep it down
(Bronson et al., "Metastable failures in distributed systems", HotOS 2021). A fraction alone would allow no retry for an
endpoint with few calls. So there is a reserve that grows with time, as in the retry budgets of Finagle and Linkerd.
"""

import time
from collections.abc import Callable

RESERVE_S = 10.0
"""The reserve holds the retries that this time adds, at least one. At the start it has the retries of this time."""

_ROUNDING = 1e-9
"""Ten deposits of a tenth allow one retry, although their sum as floating-point numbers is less than 1."""


class RetryBudget:
    """Each call adds `ratio` of a retry, and each second `per_s` retries.

    Since the start, attempts ≤ (1 + `ratio`) × calls + `per_s` × (seconds + RESERVE_S). `max_balance` limits the
    retries that successful calls save for later. `clock` returns seconds.
    """

    def __init__(
        self,
        *,
        ratio: float,
        per_s: float = 0.0,
        max_balance: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ratio = ratio
        self._per_s = per_s
        self.max_balance = max_balance
        self._balance = min(per_s * RESERVE_S, max_balance)
        self._reserve = min(max(per_s * RESERVE_S, 1.0), max_balance)
        self._clock = clock
        self._updated_at = clock()

    @property
    def balance(self) -> float:
        """The number of retries that are allowed now."""
        now = self._clock()
        if self._balance < self._reserve:
            self._balance = min(self._balance + (now - self._updated_at) * self._per_s, self._reserve)
        self._updated_at = now
        return self._balance

    def deposit(self) -> None:
        """Count one call."""
        self._balance = min(self.balance + self._ratio, self.max_balance)

    def withdraw(self) -> bool:
        """Take one retry and return True, or return False if the balance is too low."""
        if self.balance < 1 - _ROUNDING:
            return False
        self._balance = max(self._balance - 1, 0.0)
        return True
