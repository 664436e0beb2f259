"""Whether to try once more, and when: never what is not safe, never past the deadline, never before the service says.

Own code: stamina keeps its promise in other code bases, and costs 19 µs on every call that succeeds at once, three of
which are one dashboard; what is left of it under a budget, a breaker and a deadline is the loop (ADR 13).
"""

import random
from collections.abc import Mapping

from gateway.answers import Answer
from gateway.errors import UpstreamBroken, UpstreamUnreachable
from shared.deadline import remaining_s
from shared.errors import Problem

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

_SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_PASSING = frozenset({502, 503})
"""Answers that another attempt may change. Not 500, which is a bug; not 504, whose time is over; not the 409 of a key
in flight, whose client is told when to ask again."""


def repeatable(method: str, headers: Mapping[str, str]) -> bool:
    """Whether doing it twice is doing it once: by the method (RFC 9110 §9.2.2), or by a key that makes it so."""
    return method in _SAFE or (method == "POST" and "idempotency-key" in headers)


def pause_before(attempt: int, outcome: Answer | Problem) -> float | None:
    """Seconds to wait before attempt number `attempt` (the first is 0), after this outcome; None: leave it at that.

    A random part of twice as long each time, so that callers who failed together do not come back together; longer
    where the service says so (`Retry-After` in seconds); and not at all where the deadline comes first.
    """
    if isinstance(outcome, Answer):
        if outcome.status not in _PASSING:
            return None
        least_s = _retry_after_s(outcome)
    elif isinstance(outcome, UpstreamUnreachable | UpstreamBroken):
        least_s = 0.0
    else:
        return None
    longest_s = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
    pause_s = least_s + random.uniform(0.5, 1.0) * longest_s  # noqa: S311 - spreads retries, guards nothing
    left_s = remaining_s()
    return pause_s if left_s is None or pause_s < left_s else None


def _retry_after_s(answer: Answer) -> float:
    """A date instead of seconds is as good as never: we wait for no clock of somebody else's."""
    given = answer.headers.get("Retry-After", "0")
    return float(given) if given.isascii() and given.isdigit() else float("inf")
