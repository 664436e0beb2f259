"""Guarantees for the responses while a fault lasts. Invariants are checked afterwards."""

from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx

from chaos.history import NO_RESPONSE, Action, History, Outcome

ResponseGuarantee = Callable[[History], Iterator[str]]
"""A function that yields one description for each violation."""


def never_500(history: History) -> Iterator[str]:
    """A service that cannot serve returns 502, 503 or 504. A 500 is a bug."""
    for operation in history.operations:
        if HTTPStatus.INTERNAL_SERVER_ERROR in operation.statuses:
            yield f"{operation.action} {operation.key}: status 500"


def reads_succeed(history: History) -> Iterator[str]:
    """Reads succeed, if necessary after a retry because of a lost connection."""
    for operation in history.of(Action.LOOK, Outcome.FAILED, Outcome.INDETERMINATE):
        yield f"{operation.action} {operation.key}: {operation.statuses}"


def retry_after_is_set(history: History) -> Iterator[str]:
    """Every 429 and 503 has a Retry-After header."""
    for operation in history.operations:
        for status in operation.without_retry_after:
            yield f"{operation.action} {operation.key}: {status} without Retry-After"


def reads_succeed_at_first_attempt(history: History) -> Iterator[str]:
    """Every read succeeds at its first attempt."""
    for operation in history.of(Action.LOOK):
        if not all(httpx.codes.is_success(status) for status in operation.statuses):
            yield f"{operation.action} {operation.key}: {operation.statuses}"


def no_attempt_fails(history: History) -> Iterator[str]:
    """Each request gets a response at the first attempt, without a server error."""
    for operation in history.operations:
        if any(status == NO_RESPONSE or status >= HTTPStatus.INTERNAL_SERVER_ERROR for status in operation.statuses):
            yield f"{operation.action} {operation.key}: {operation.statuses}"
