"""HTTP errors, rendered in one place as RFC 9457 `application/problem+json`.

A service raises its own subclass and never builds an error body::

    class OutOfStockError(ConflictError):
        slug = "out-of-stock"
        title = "Not enough in stock"

The base classes::

    ProblemError
     ├─ BadRequestError 400, UnauthorizedError 401, ForbiddenError 403, NotFoundError 404, RequestTimeoutError 408,
     ├─ ConflictError 409, PayloadTooLargeError 413, UnsupportedMediaTypeError 415, UnprocessableError 422,
     ├─ TooManyRequestsError 429, HeadTooLargeError 431
     └─ BadGatewayError 502, UnavailableError 503 (ContentionError), GatewayTimeoutError 504 (DeadlineExceededError)

Bodies have `type`, `title`, `status`, `detail`, `instance` and `trace_id`. Validation errors also have `errors` (field,
message), at most MAX_FIELD_ERRORS of them.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import orjson
import structlog
from opentelemetry import trace
from pydantic import BaseModel
from starlette.responses import Response

from shared.errors.stores import is_contention, is_statement_timeout, store_is_unavailable

log = structlog.get_logger(__name__)

PROBLEM_TYPES = "https://hopline.example/problems/"
"""Prefix of the `type` of every problem. The rest is its slug, which is also a section of docs/problems.md."""

MAX_FIELD_ERRORS = 20
"""Maximum number of field errors in one problem."""

MAX_FIELD_CHARACTERS = 100
MAX_MESSAGE_CHARACTERS = 300
"""Lengths are limited because clients choose the names of fields, and messages can quote client input."""


class FieldError(BaseModel):
    """One invalid field; `field` is a dotted path such as `items.0.quantity`."""

    field: str
    message: str


class ProblemError(Exception):
    """Base of errors with an HTTP status. Any code below a route can raise them, and the error handlers render them."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal server error"

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


class BadRequestError(ProblemError):
    """400: the request cannot be understood."""

    status, slug, title = 400, "bad-request", "The request cannot be understood"


class UnknownProfileError(BadRequestError):
    """400: `X-Profile` names an unknown kind of profile."""

    slug, title = "unknown-profile", "Unknown profile format"


class UnauthorizedError(ProblemError):
    """401: the request has no valid credentials; the response has a challenge of RFC 6750."""

    status, slug, title = 401, "unauthorized", "Valid credentials are required"

    def __init__(self, detail: str = "", *, challenge: str = 'Bearer realm="hopline"') -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class ForbiddenError(ProblemError):
    """403: the caller has no permission."""

    status, slug, title = 403, "forbidden", "Not allowed"


class NotFoundError(ProblemError):
    """404: the resource does not exist, or is not visible to the caller."""

    status, slug, title = 404, "not-found", "No such resource"


class RequestTimeoutError(ProblemError):
    """408: the request did not arrive completely in time. The connection closes (RFC 9110 §15.5.9)."""

    status, slug, title = 408, "request-timeout", "The request did not arrive in time"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Connection": "close"})


class ConflictError(ProblemError):
    """409: the state of the resource does not allow the request."""

    status, slug, title = 409, "conflict", "The current state does not allow this"


class PayloadTooLargeError(ProblemError):
    """413: the body is too large."""

    status, slug, title = 413, "payload-too-large", "The request body is too large"


class UnsupportedMediaTypeError(ProblemError):
    """415: this endpoint does not accept the body's Content-Type or Content-Encoding."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class UnprocessableError(ProblemError):
    """422: a field or parameter is invalid."""

    status, slug, title = 422, "validation", "The request is not valid"


class TooManyRequestsError(ProblemError):
    """429: a rate limit is exceeded; the response has `Retry-After` in seconds."""

    status, slug, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class HeadTooLargeError(ProblemError):
    """431: the request line and the headers are too large."""

    status, slug, title = 431, "head-too-large", "The request line and the headers are too large"


class BadGatewayError(ProblemError):
    """502: the response of an upstream is invalid or incomplete."""

    status, slug, title = 502, "bad-gateway", "An upstream service failed"


class UnavailableError(ProblemError):
    """503: a dependency is unavailable; the response has `Retry-After` in seconds."""

    status, slug, title = 503, "unavailable", "The service is temporarily unavailable"

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class ProfilerBusyError(UnavailableError):
    """503: this process is already profiling another request."""

    slug, title = "profiler-busy", "Another request is being profiled"


class ContentionError(UnavailableError):
    """503: other transactions held the needed locks for longer than the lock timeout."""

    slug, title = "contention", "Other requests are changing the same data"


class GatewayTimeoutError(ProblemError):
    """504: an upstream did not respond in time."""

    status, slug, title = 504, "gateway-timeout", "An upstream service did not respond in time"


class DeadlineExceededError(GatewayTimeoutError):
    """504: the deadline of the request has passed. Effects of the request may have been committed."""

    slug, title = "deadline-spent", "The request took too long"


def problem_response(problem: ProblemError, *, instance: str) -> Response:
    """Render a problem, and set its slug on the current span. `instance` is the path of the request."""
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
        body["errors"] = [_encode_field_error(error) for error in problem.errors[:MAX_FIELD_ERRORS]]
    if omitted := len(problem.errors[MAX_FIELD_ERRORS:]):
        body["detail"] = f"{problem.detail}; {omitted} more are omitted"
    return Response(
        orjson.dumps(body),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def _encode_field_error(error: FieldError) -> dict[str, str]:
    return {
        "field": _truncate(error.field, MAX_FIELD_CHARACTERS),
        "message": _truncate(error.message, MAX_MESSAGE_CHARACTERS),
    }


def _truncate(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def problem_from_exception(error: Exception) -> ProblemError:
    """Return the problem for an unhandled exception: 504 for a statement timeout, 503 for a lock or store, else 500."""
    if is_statement_timeout(error):
        return DeadlineExceededError("The database did not finish a statement in time")
    if is_contention(error):
        return ContentionError("Nothing was changed. Send the request again")
    if store_is_unavailable(error):
        return UnavailableError("A store that this service depends on is unavailable")
    return ProblemError("An unexpected error was logged with this trace id")


def log_exception(error: Exception) -> None:
    """Log an unhandled exception: as a warning if a store caused it, else as an error with the stack trace."""
    if is_statement_timeout(error):
        log.warning("statement_timed_out", error=str(error))
    elif store_is_unavailable(error):
        log.warning("dependency_unavailable", error=str(error), error_type=type(error).__name__)
    else:
        log.error("unhandled_exception", exc_info=error)
