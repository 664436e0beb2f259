"""The middleware of every service: pure ASGI, one pass over the request each.

`RequestContext` gives the request an id, binds it to the log context, adds `X-Request-ID` and `traceresponse` to every
response and writes one access line. `UnexpectedErrors` answers what nobody else did as a problem.
BaseHTTPMiddleware would cost a task and a queue per request and hide context variables set below it.
"""

import re
import time
from uuid import uuid4

import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Problem, problem_response, unexpected
from shared.statements import DatabaseCost, database_cost
from shared.tracing import blame

log = structlog.get_logger("http")

REQUEST_ID = "X-Request-ID"

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_SERVER_ERROR = 500
_CLIENT_GONE = 499
"""Logged where the client hung up before it had an answer; the number is nginx's."""
_PROBES = "/health/"
_ids = RandomIdGenerator()


class RequestContext:
    """ASGI middleware; place it outermost, inside of the telemetry only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span = trace.get_current_span()
        if span.get_span_context().is_valid:
            await self._serve(scope, receive, send, traceresponse=_traceresponse(span))
            return
        with trace.use_span(_untraced_span()) as unrecorded:
            await self._serve(scope, receive, send, traceresponse=_traceresponse(unrecorded))

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, traceresponse: str) -> None:
        request_id = _request_id(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        span = trace.get_current_span()
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["traceresponse"] = traceresponse
                if cost.queries:  # now: the span ends within the last `send`
                    span.set_attributes(cost.attributes)
            await send(message)

        with database_cost() as cost:
            try:
                await self._app(scope, receive, send_with_ids)
            finally:
                if not scope["path"].startswith(_PROBES):
                    _access_line(scope, status=status or _CLIENT_GONE, started=started, cost=cost)


class UnexpectedErrors:
    """ASGI middleware: an exception that no handler took becomes a problem, and the span's error.

    So does a `Problem` raised by a middleware further in, as what it says. A mounted application needs one of these of
    its own: the framework puts a plain text 500 at the edge of each.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def note_start(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except Exception as error:
            problem = error if isinstance(error, Problem) else _recorded(error)
            if begun:  # all that is left is to break the response off
                raise
            await problem_response(problem, instance=scope["path"])(scope, receive, send)


def _recorded(error: Exception) -> Problem:
    blame(trace.get_current_span(), error)
    return unexpected(error)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _ACCEPTED_ID.fullmatch(given) else uuid4().hex


def _traceresponse(span: Span) -> str:
    """W3C Trace Context Level 2: lets the caller find the trace of its own request."""
    context = span.get_span_context()
    trace_id = trace.format_trace_id(context.trace_id)
    span_id = trace.format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"


def _untraced_span() -> Span:
    """A span for a request that telemetry leaves out (a probe): an id to answer with, that nobody records."""
    context = SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False)
    return NonRecordingSpan(context)


def _route(scope: Scope) -> str | None:
    """The route's template below its mount, `/v2/orders/{order_id}`, as the span has it; None where none matched."""
    template = getattr(scope.get("route"), "path", None)
    return None if template is None else f"{scope.get('root_path', '')}{template}"


def _access_line(scope: Scope, *, status: int, started: float, cost: DatabaseCost) -> None:
    write = log.error if status >= _SERVER_ERROR else log.info
    write(
        "http_request",
        method=scope["method"],
        path=scope["path"],
        route=_route(scope),
        status=status,
        duration_ms=round((time.perf_counter() - started) * 1000, 2),
        db_queries=cost.queries,
        db_ms=cost.milliseconds,
    )
