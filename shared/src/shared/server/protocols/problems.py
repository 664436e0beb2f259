"""Error responses of the protocol classes as problems, with the ids that every response has."""

from http import HTTPStatus

import structlog
from opentelemetry import trace
from starlette.types import Scope

from shared.errors import BadRequest, HeadTooLarge, Problem, RequestTimeout, problem_response
from shared.middleware import REQUEST_ID, request_id_of, unrecorded_span
from shared.server_protocols.http import BoundedHttp, Headers
from shared.tracing import traceparent

log = structlog.get_logger("http")

_PROBLEMS: dict[HTTPStatus, type[Problem]] = {
    HTTPStatus(kind.status): kind for kind in (BadRequest, RequestTimeout, HeadTooLarge)
}
_MAX_INSTANCE = 256


class ProblemHttp(BoundedHttp):
    """`http` of the services' uvicorn configuration: `shared.server_protocols.problems:ProblemHttp`."""

    def render(self, status: HTTPStatus, detail: str) -> tuple[Headers, bytes]:
        """Return the error response as a problem."""
        if self.scope is None:  # not one request yet
            return render_problem(status, detail, scope={"headers": []}, target=b"")
        return render_problem(status, detail, scope=dict(self.scope), target=self.url)


def render_problem(status: HTTPStatus, detail: str, *, scope: Scope, target: bytes) -> tuple[Headers, bytes]:
    """Return headers and body of a problem for a request that no application sees, and record it."""
    request_id = request_id_of(scope)
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
        (b"traceresponse", traceparent(span.get_span_context()).encode()),
    ]
    return [*headers, *ids], bytes(response.body)
