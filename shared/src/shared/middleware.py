"""The one middleware of every service: pure ASGI, one pass over the request.

It gives the request an id, binds it to the log context, answers unexpected exceptions as problems, adds
`X-Request-ID` and `traceresponse` to every response, names the span by the full route, and writes one access line.
BaseHTTPMiddleware would cost a task and a queue per request and hide context variables set below it.
"""

import re
import time
from uuid import uuid4

import structlog
from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import problem_response, unexpected

log = structlog.get_logger("http")

REQUEST_ID = "X-Request-ID"

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_SERVER_ERROR = 500
_PROBES = "/health/"


class RequestContext:
    """ASGI middleware; place it innermost of the telemetry, outermost of everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        span = trace.get_current_span()
        path: str = scope["path"]  # mounts rewrite the scope below us: keep what the client asked for
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["traceresponse"] = _traceresponse(span)
            await send(message)

        try:
            await self._app(scope, receive, send_with_ids)
        except Exception as error:
            span.record_exception(error)
            span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
            if status:  # the response has begun: all that is left is to break it off
                raise
            await problem_response(unexpected(error), instance=path)(scope, receive, send_with_ids)
        finally:
            route = _name_span(span, scope)
            if not path.startswith(_PROBES):
                _access_line(scope, path=path, route=route, status=status, started=started)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _ACCEPTED_ID.fullmatch(given) else uuid4().hex


def _traceresponse(span: Span) -> str:
    """W3C Trace Context Level 2: lets the caller find the trace of its own request."""
    context = span.get_span_context()
    trace_id = trace.format_trace_id(context.trace_id)
    span_id = trace.format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"


def _name_span(span: Span, scope: Scope) -> str | None:
    """Name the span `POST /v2/orders`: the instrumentation sees only the mount (`/v2`), the router has run since."""
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return None
    route = f"{scope.get('root_path', '')}{template}"
    if span.is_recording():
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    return route


def _access_line(scope: Scope, *, path: str, route: str | None, status: int, started: float) -> None:
    write = log.error if status >= _SERVER_ERROR else log.info
    write(
        "http_request",
        method=scope["method"],
        path=path,
        route=route,
        status=status,
        duration_ms=round((time.perf_counter() - started) * 1000, 2),
    )
