"""Error responses of the protocol classes as problems, with request id and `traceresponse`."""

from http import HTTPStatus

import structlog
from opentelemetry import trace
from starlette.types import Scope

from shared.context import REQUEST_ID
from shared.errors.problems import (
    BadRequestError,
    HeadTooLargeError,
    ProblemError,
    RequestTimeoutError,
    problem_response,
)
from shared.server.protocols.http import BoundedHttpProtocol, Headers
from shared.telemetry.spans import format_traceparent
from shared.web.middleware import get_request_id, unrecorded_span

log = structlog.get_logger("http")

_PROBLEMS: dict[HTTPStatus, type[ProblemError]] = {
    HTTPStatus(error.status): error for error in (BadRequestError, RequestTimeoutError, HeadTooLargeError)
}
_MAX_INSTANCE = 256


class ProblemHttpProtocol(BoundedHttpProtocol):
    """`http` of the services' uvicorn configuration: `shared.server.protocols.problems:ProblemHttpProtocol`."""

    def render(self, status: HTTPStatus, detail: str) -> tuple[Headers, bytes]:
        """Return the error response as a problem."""
        if self.scope is None:  # no request yet
            return render_problem(status, detail, scope={"headers": []}, target=b"")
        return render_problem(status, detail, scope=dict(self.scope), target=self.url)


def render_problem(status: HTTPStatus, detail: str, *, scope: Scope, target: bytes) -> tuple[Headers, bytes]:
    """Return headers and body of a problem for a request that never reaches the application, and log it."""
    request_id = get_request_id(scope)
    instance = target.partition(b"?")[0][:_MAX_INSTANCE].decode("ascii", "replace")
    span = unrecorded_span()
    with trace.use_span(span):
        problem = _PROBLEMS[status](detail)
        response = problem_response(problem, instance=instance)
        log.info(
            "request_rejected",
            request_id=request_id,
            path=instance,
            status=problem.status,
            problem=problem.slug,
            detail=detail,
        )
    headers = [pair for pair in response.raw_headers if pair[0] not in {b"content-length", b"connection"}]
    ids = [
        (REQUEST_ID.lower().encode(), request_id.encode()),
        (b"traceresponse", format_traceparent(span.get_span_context()).encode()),
    ]
    return [*headers, *ids], bytes(response.body)
