"""Shares of a bulkhead's places: one reader who takes nothing must not keep the files from everybody."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from gateway.resilience import metrics
from shared.errors import TooManyRequests


class Shares:
    """At most `each` files of the service `name` at once for one user, those that wait for a place included."""

    def __init__(self, *, name: str, each: int) -> None:
        self._name = name
        self._each = each
        self._taken: Counter[UUID] = Counter()

    @contextmanager
    def of(self, user_id: UUID) -> Iterator[None]:
        """One file for this user within the block; raises TooManyRequests where they have as many as they may."""
        if self._taken[user_id] >= self._each:
            metrics.refused(self._name, "share")
            raise TooManyRequests(f"You are reading {self._each} files: wait until one of them has come")
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]
