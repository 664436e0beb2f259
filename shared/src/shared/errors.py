"""Everything that can go wrong over HTTP, rendered in one place as RFC 9457 `application/problem+json`.

A service raises a class of its own::

    class OutOfStock(Conflict):
        slug = "out-of-stock"
        title = "Not enough in stock"

and never builds an error body. The tree::

    Problem
     ├─ BadRequest 400 ── Unauthorized 401 ── Forbidden 403 ── NotFound 404
     ├─ RequestTimeout 408 ── Conflict 409 ── PayloadTooLarge 413 ── UnsupportedMediaType 415 ── Unprocessable 422
     ├─ TooManyRequests 429 ── HeadTooLarge 431
     └─ BadGateway 502 ── Unavailable 503 (Contention) ── GatewayTimeout 504 (DeadlineSpent)

Bodies carry `type`, `title`, `status`, `detail`, `instance`, `trace_id`, and `errors` (field, message) on validation,
at most MAX_FIELD_ERRORS of them.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import orjson
import structlog
from opentelemetry import trace
from pydantic import BaseModel
from starlette.responses import Response

from shared.store_errors import is_contention, sqlstate_of, store_is_unavailable

log = structlog.get_logger(__name__)

_STATEMENT_TIMEOUT = "57014"

PROBLEM_TYPES = "https://hopline.example/problems/"
"""Base of the `type` of every problem, which ends in its slug: a name to compare, and a section of docs/problems.md."""


MAX_FIELD_ERRORS = 20
"""Maximum number of field errors in one problem."""

MAX_FIELD_CHARACTERS = 100
MAX_MESSAGE_CHARACTERS = 300
"""Clients choose names of fields, and messages can quote them."""


class FieldError(BaseModel):
    """One wrong input: `field` is a dotted path such as `items.0.quantity`."""

    field: str
    message: str


class Problem(Exception):
    """A failure with an HTTP status. Raise it anywhere below the route; nobody but this module renders it."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors
        self.headers = dict(headers or {})


class BadRequest(Problem):
    """400: the request cannot be understood."""

    status, slug, title = 400, "bad-request", "The request cannot be understood"


class UnknownProfile(BadRequest):
    """400: `X-Profile` names an unknown kind of profile."""

    slug, title = "unknown-profile", "There is no such kind of profile"


class Unauthorized(Problem):
    """401: no valid credentials; the challenge is RFC 6750's."""

    status, slug, title = 401, "unauthorized", "Valid credentials are needed"

    def __init__(self, detail: str = "", *, challenge: str = 'Bearer realm="hopline"') -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    """403: the caller is known and may not."""

    status, slug, title = 403, "forbidden", "Not allowed"


class NotFound(Problem):
    """404: no such thing, or not the caller's."""

    status, slug, title = 404, "not-found", "No such resource"


class RequestTimeout(Problem):
    """408: the client did not send the whole request in time. The connection closes (RFC 9110 §15.5.9)."""

    status, slug, title = 408, "request-timeout", "The request did not arrive in time"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Connection": "close"})


class Conflict(Problem):
    """409: the state of the resource does not allow it now."""

    status, slug, title = 409, "conflict", "The current state does not allow this"


class PayloadTooLarge(Problem):
    """413: the body is over the limit."""

    status, slug, title = 413, "payload-too-large", "The request body is too large"


class UnsupportedMediaType(Problem):
    """415: the body's Content-Type is not what this endpoint reads."""

    status, slug, title = 415, "unsupported-media-type", "The body is of a type that is not read here"


class Unprocessable(Problem):
    """422: understood, and wrong."""

    status, slug, title = 422, "validation", "The request is not valid"


class TooManyRequests(Problem):
    """429: over the limit; `Retry-After` in seconds."""

    status, slug, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class HeadTooLarge(Problem):
    """431: the request line and the headers are over the limit."""

    status, slug, title = 431, "head-too-large", "The request line and the headers are too large"


class BadGateway(Problem):
    """502: an upstream answered nonsense or hung up."""

    status, slug, title = 502, "bad-gateway", "An upstream service failed"


class Unavailable(Problem):
    """503: something this service depends on is away; `Retry-After` in seconds."""

    status, slug, title = 503, "unavailable", "The service is temporarily unavailable"

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class ProfilerBusy(Unavailable):
    """503: this process makes another profile at the moment."""

    slug, title = "profiler-busy", "Another request is being profiled"


class Contention(Unavailable):
    """503: other transactions hold what the request changes, for longer than the lock timeout."""

    slug, title = "contention", "Other requests are changing the same data"


class GatewayTimeout(Problem):
    """504: an upstream did not answer in time."""

    status, slug, title = 504, "gateway-timeout", "An upstream service did not answer in time"


class DeadlineSpent(GatewayTimeout):
    """504: the time that a request has in all is over. What it asked for may have happened."""

    slug, title = "deadline-spent", "The request took too long"


def problem_response(problem: Problem, *, instance: str) -> Response:
    """Render a problem, and name it on the request's span. `instance` is the request's path."""
    current = trace.get_current_span()
    current.set_attribute("hopline.problem", problem.slug)
    span = current.get_span_context()
    body: dict[str, object] = {
        "type": PROBLEM_TYPES + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        "trace_id": trace.format_trace_id(span.trace_id) if span.is_valid else None,
    }
    if problem.errors:
        body["errors"] = [_bounded(error) for error in problem.errors[:MAX_FIELD_ERRORS]]
    if left_out := len(problem.errors[MAX_FIELD_ERRORS:]):
        body["detail"] = f"{problem.detail}; {left_out} more are left out"
    return Response(
        orjson.dumps(body),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def _bounded(error: FieldError) -> dict[str, str]:
    return {
        "field": _cut(error.field, MAX_FIELD_CHARACTERS),
        "message": _cut(error.message, MAX_MESSAGE_CHARACTERS),
    }


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def unexpected(error: Exception) -> Problem:
    """The problem for an exception nobody expected, logged: 504 by a slow statement, 503 by a store, else 500."""
    if sqlstate_of(error) == _STATEMENT_TIMEOUT:
        log.warning("statement_timed_out", error=str(error))
        return DeadlineSpent("The database did not finish a statement in time")
    if store_is_unavailable(error):
        log.warning("dependency_unavailable", error=str(error), error_type=type(error).__name__)
        if is_contention(error):
            return Contention("Nothing was changed. Send the request again")
        return Unavailable("A store that this service depends on cannot serve this now")
    log.error("unhandled_exception", exc_info=error)
    return Problem("An unexpected error was logged with this trace id")
