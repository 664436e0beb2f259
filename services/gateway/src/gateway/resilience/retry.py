"""Whether and when a call is retried: only if that is safe, before the deadline, and not before `Retry-After`.

The gateway does not use stamina, which takes 19 µs for each successful call. Only its loop would be used, because the
budget, the breaker, the deadline and `Retry-After` decide about each retry (ADR 13).
"""

import random
from collections.abc import Mapping
from http import HTTPStatus

from gateway.errors import UpstreamBrokenError, UpstreamUnreachableError
from gateway.responses import UpstreamResponse
from shared.context import remaining_s
from shared.errors.problems import ProblemError

FIRST_DELAY_S = 0.05
MAX_DELAY_S = 1.0

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_KEYED = frozenset({("POST", "/orders")})
"""Endpoints with `Idempotency-Key`. Others ignore the header, so a repeated request could take effect twice."""

_TRANSIENT = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses that another attempt may change. 500 is a bug. After 504 no time is left. After 409 (an idempotency key in
flight) and 429, the client itself has to wait."""


def is_repeatable(method: str, template: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request can be repeated safely: by its method (RFC 9110 §9.2.2) or its idempotency key."""
    return method in _IDEMPOTENT or ((method, template) in _KEYED and "idempotency-key" in headers)


def get_retry_delay_s(attempt: int, result: UpstreamResponse | ProblemError) -> float | None:
    """Return the seconds to wait before attempt number `attempt` (the first is 0); None if there is no other attempt.

    The delay is the `Retry-After` of the response plus a backoff, which doubles with each attempt. The backoff is
    random, so that callers that failed together do not retry together. There is no other attempt if the deadline comes
    first.
    """
    if isinstance(result, UpstreamResponse):
        if result.status not in _TRANSIENT:
            return None
        retry_after_s = _parse_retry_after(result)
    elif isinstance(result, UpstreamUnreachableError | UpstreamBrokenError):
        retry_after_s = 0.0
    else:
        return None
    backoff_s = min(FIRST_DELAY_S * 2 ** (attempt - 1), MAX_DELAY_S)
    delay_s = retry_after_s + random.uniform(0.5, 1.0) * backoff_s  # noqa: S311 - spreads retries, protects nothing
    left_s = remaining_s()
    return delay_s if left_s is None or delay_s < left_s else None


def _parse_retry_after(response: UpstreamResponse) -> float:
    """Return `Retry-After` in seconds. A date is treated as infinite, because the clocks of two machines differ."""
    given = response.headers.get("Retry-After", "0")
    return float(given) if given.isascii() and given.isdigit() else float("inf")
