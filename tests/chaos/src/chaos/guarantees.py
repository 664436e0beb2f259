"""Requirements for responses while a fault lasts. Invariants are checked afterwards."""

from collections.abc import Callable, Iterator

import httpx

from chaos.history import NO_RESPONSE, Action, History, Outcome

Promise = Callable[[History], Iterator[str]]

_BUG = 500


def never_500(history: History) -> Iterator[str]:
    """A service that cannot serve returns 502, 503 or 504. A 500 is a bug."""
    yield from (f"{one.action} {one.key}: status 500" for one in history.operations if _BUG in one.statuses)


def safe_requests_succeed(history: History) -> Iterator[str]:
    """Reads succeed, if necessary after a retry because of a lost connection."""
    for one in history.of(Action.LOOK, Outcome.FAILED, Outcome.INDETERMINATE):
        yield f"{one.action} {one.key}: {one.statuses}"


def unavailable_says_when(history: History) -> Iterator[str]:
    """Every 429 and 503 has a Retry-After header."""
    for one in history.operations:
        yield from (f"{one.action} {one.key}: {status} without Retry-After" for status in one.without_retry_after)


def reads_are_unaffected(history: History) -> Iterator[str]:
    """Every read succeeds at its first attempt."""
    for one in history.of(Action.LOOK):
        if not all(httpx.codes.is_success(status) for status in one.statuses):
            yield f"{one.action} {one.key}: {one.statuses}"


def unnoticed_error(history: History) -> Iterator[str]:
    """Each request gets a response at the first attempt, without a server error."""
    for one in history.operations:
        if any(status == NO_RESPONSE or status >= _BUG for status in one.statuses):
            yield f"{one.action} {one.key}: {one.statuses}"
