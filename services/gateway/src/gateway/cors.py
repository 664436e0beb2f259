"""Cross-origin requests: Starlette's middleware, with problems as error responses."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import PreflightRejectedError
from gateway.responses import FIRST_ERROR_STATUS
from gateway.versions import API_VERSION
from shared.context import REQUEST_ID, REQUEST_TIMEOUT
from shared.errors.problems import problem_response

ALLOWED_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key"),
    *(API_VERSION, REQUEST_ID, REQUEST_TIMEOUT),
    *("traceparent", "tracestate", "baggage"),
)
"""Request headers that pages of other origins may send."""

EXPOSED_HEADERS = (
    *("Location", "Retry-After", "Idempotency-Replayed", "Content-Disposition", REQUEST_ID, "traceresponse"),
    *("Deprecation", "Sunset", "Link"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"),
)
"""Response headers that pages of other origins may read."""


class ProblemCORSMiddleware(CORSMiddleware):
    """Starlette's middleware, except that a preflight request that is not allowed gets a problem."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the response to a preflight request."""
        response = super().preflight_response(request_headers)
        return response if response.status_code < FIRST_ERROR_STATUS else _RejectedPreflight(response)


def create_cors_middleware(origins: Sequence[str]) -> Middleware:
    """Return the middleware that allows requests from `origins`."""
    return Middleware(
        ProblemCORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )


class _RejectedPreflight(Response):
    """A problem that replaces `rejected`. It is built when it is sent, because only then the path is known."""

    def __init__(self, rejected: Response) -> None:
        super().__init__()
        self._rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the problem with the headers `Access-Control-*` and `Vary` of `rejected`."""
        kept = {name: value for name, value in self._rejected.headers.items() if not name.startswith("content-")}
        problem = PreflightRejectedError(bytes(self._rejected.body).decode(), headers=kept)
        await problem_response(problem, instance=scope["path"])(scope, receive, send)
