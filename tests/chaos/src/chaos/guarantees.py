"""Guarantees for the responses that customers receive while a fault lasts, unlike invariants, which hold after it."""

from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx

from chaos.history import NO_RESPONSE, Action, History, Outcome

ResponseGuarantee = Callable[[History], Iterator[str]]
"""A function that yields one description for each violation."""


def never_500(history: History) -> Iterator[str]:
    """Yield operations with a status 500, which is a bug. A service that cannot serve must return 502, 503 or 504."""
    for operation in history.operations:
        if HTTPStatus.INTERNAL_SERVER_ERROR in operation.statuses:
            yield f"{operation.action} {operation.key}: status 500"


def reads_succeed(history: History) -> Iterator[str]:
    """Yield reads that did not succeed at any attempt."""
    for operation in history.of(Action.READ, Outcome.FAILED, Outcome.INDETERMINATE):
        yield f"{operation.action} {operation.key}: {operation.statuses}"


def retry_after_is_set(history: History) -> Iterator[str]:
    """Yield responses with the status 429 or 503 that have no Retry-After header."""
    for operation in history.operations:
        for status in operation.without_retry_after:
            yield f"{operation.action} {operation.key}: {status} without Retry-After"


def reads_succeed_at_first_attempt(history: History) -> Iterator[str]:
    """Yield reads that did not succeed at their first attempt."""
    for operation in history.of(Action.READ):
        if not all(httpx.codes.is_success(status) for status in operation.statuses):
            yield f"{operation.action} {operation.key}: {operation.statuses}"


def no_attempt_fails(history: History) -> Iterator[str]:
    """Yield operations with an attempt that had no response or a server error."""
    for operation in history.operations:
        if any(status == NO_RESPONSE or status >= HTTPStatus.INTERNAL_SERVER_ERROR for status in operation.statuses):
            yield f"{operation.action} {operation.key}: {operation.statuses}"
