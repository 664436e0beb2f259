"""Which pages of other origins may call: Starlette's middleware, with its refusals as problems."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.answers import ERROR
from gateway.errors import PreflightRefused
from gateway.versions import API_VERSION
from shared.errors import problem_response
from shared.middleware import REQUEST_ID

ACCEPTED = ("Authorization", "Content-Type", "Idempotency-Key", API_VERSION, REQUEST_ID, "traceparent", "baggage")
"""Request headers that pages of other origins may send."""

EXPOSED = (
    *("Location", "Retry-After", "Idempotency-Replayed", REQUEST_ID, "traceresponse"),
    *("Deprecation", "Sunset", "Link"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"),
)
"""Response headers that a browser shows to pages of other origins."""


class Cors(CORSMiddleware):
    """ASGI middleware. A preflight that asks for more than is allowed is answered 400, with all that is."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Starlette's answer, where it is a good one."""
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code < ERROR else _Refusal(answer)


def cors(origins: Sequence[str]) -> Middleware:
    """Return the middleware that lets pages of `origins` call."""
    return Middleware(
        Cors,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
        allow_headers=ACCEPTED,
        expose_headers=EXPOSED,
    )


class _Refusal(Response):
    """A problem in the place of `refused`; it says on which path once it is sent there."""

    def __init__(self, refused: Response) -> None:
        super().__init__()
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; what is allowed (`Access-Control-*`) and `Vary` stay."""
        kept = {name: value for name, value in self._refused.headers.items() if not name.startswith("content-")}
        problem = PreflightRefused(bytes(self._refused.body).decode(), headers=kept)
        await problem_response(problem, instance=scope["path"])(scope, receive, send)
