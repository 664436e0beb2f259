"""A limit per user on the slots of a bulkhead, because one user who reads slowly must not take all of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from gateway.resilience import metrics
from shared.errors.problems import TooManyRequestsError


class UserLimit:
    """At most `max_per_user` concurrent downloads of one user from the service `name`, including waiting ones."""

    def __init__(self, *, name: str, max_per_user: int) -> None:
        self._name = name
        self._max_per_user = max_per_user
        self._downloads: Counter[UUID] = Counter()

    @contextmanager
    def hold(self, user_id: UUID) -> Iterator[None]:
        """Count one download of this user within the block.

        Raises:
            TooManyRequestsError: The user has reached the limit.
        """
        if self._downloads[user_id] >= self._max_per_user:
            metrics.record_rejection(self._name, "share")
            raise TooManyRequestsError(
                f"A user may have at most {self._max_per_user} concurrent downloads. Wait until one of them ends"
            )
        self._downloads[user_id] += 1
        try:
            yield
        finally:
            self._downloads[user_id] -= 1
            if not self._downloads[user_id]:
                del self._downloads[user_id]
