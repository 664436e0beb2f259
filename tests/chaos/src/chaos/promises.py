"""What answers must be like while a fault lasts: safety, where the invariants are of what remains."""

from collections.abc import Callable, Iterator

import httpx

from chaos.history import NO_ANSWER, Action, History, Outcome

Promise = Callable[[History], Iterator[str]]

_BUG = 500


def never_500(history: History) -> Iterator[str]:
    """A service says that it can not, by 502, 503 or 504; a 500 is a bug, whatever is away."""
    yield from (f"{one.action} {one.key}: answered 500" for one in history.operations if _BUG in one.statuses)


def safe_requests_succeed(history: History) -> Iterator[str]:
    """Whoever reads, and asks again where the connection was lost, gets an answer."""
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


def nobody_notices(history: History) -> Iterator[str]:
    """Every request is answered at once, and not by an error of the services'."""
    for one in history.operations:
        if any(status == NO_ANSWER or status >= _BUG for status in one.statuses):
            yield f"{one.action} {one.key}: {one.statuses}"
