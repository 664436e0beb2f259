"""A retry budget: retries may add a fifth to the load of a service, however many of its calls fail.

Retries by count alone multiply the load of a service by their number at the moment when it can bear the least, and keep
it down (Bronson et al., "Metastable failures in distributed systems", HotOS 2021).
"""

_ROUNDING = 1e-9
"""Ten tenths are one."""


class RetryBudget:
    """Each call earns `ratio` of a retry; at any moment attempts ≤ (1 + `ratio`) × calls.

    A quiet start has nothing saved, and a long healthy time at most `most` retries, so that it buys no storm.
    """

    def __init__(self, *, ratio: float, most: float = 10.0) -> None:
        self._ratio = ratio
        self._most = most
        self._saved = 0.0

    @property
    def saved(self) -> float:
        """How many retries may be made now."""
        return self._saved

    def earn(self) -> None:
        """Count one call."""
        self._saved = min(self._saved + self._ratio, self._most)

    def spend(self) -> bool:
        """Take one retry; False where there is none."""
        if self._saved < 1 - _ROUNDING:
            return False
        self._saved = max(self._saved - 1, 0.0)
        return True
