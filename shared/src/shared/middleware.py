"""The middleware of every service: pure ASGI, one pass over the request each.

`RequestContext` gives the request an id, binds it to the log context, adds `X-Request-ID` and `traceresponse` to every
response, completes the span that OpenTelemetry's instrumentation started and writes one access line. `UnexpectedErrors`
renders unhandled exceptions as problems. BaseHTTPMiddleware would cost a task and a queue per request and hide context
variables set below it.
"""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from random import getrandbits

import structlog
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, StatusCode
from opentelemetry.util.http import sanitize_method
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Problem, problem_response, unexpected
from shared.headers import header
from shared.statements import DatabaseCost, database_cost
from shared.tracing import blame, traceparent

log = structlog.get_logger("http")

REQUEST_ID = "X-Request-ID"
PROBES = "/health/"

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_SERVER_ERROR = 500
_CLIENT_GONE = 499
"""Logged where the client hung up before it had an answer; the number is nginx's."""
_REQUEST_ID = REQUEST_ID.lower().encode()
_TRACERESPONSE = b"traceresponse"
_ids = RandomIdGenerator()
_IDS = (_REQUEST_ID, _TRACERESPONSE)
_CLOSE = (b"connection", b"close")

current_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served here, which the calls that it causes carry on."""


class RequestContext:
    """ASGI middleware; place it outermost, within the instrumentation that starts the request's span.

    `route_of` returns the template of the route that a request was matched to.
    """

    def __init__(self, app: ASGIApp, *, route_of: Callable[[Scope], str | None]) -> None:
        self._app = app
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as stack:
            if not trace.get_current_span().get_span_context().is_valid:  # the path is excluded from instrumentation
                stack.enter_context(trace.use_span(unrecorded_span()))
                if scope["path"].startswith(PROBES):
                    stack.enter_context(suppress_http_instrumentation())
            await self._serve(scope, receive, send, span=trace.get_current_span())

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, span: Span) -> None:
        request_id = request_id_of(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        current_request_id.set(request_id)
        started = time.perf_counter()
        context = span.get_span_context()
        ids = [(_REQUEST_ID, request_id.encode())]
        if not context.is_remote:  # else no span was made (`OTEL_SDK_DISABLED`), and this is the caller's own
            ids.append((_TRACERESPONSE, traceparent(context).encode()))  # W3C Trace Context Level 2 has them alike
        root_path, status, complete = scope.get("root_path", ""), 0, False
        health = scope["app"].state.health  # a mounted application replaces `scope["app"]`

        async def send_with_ids(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                given = [pair for pair in message["headers"] if pair[0] not in _IDS]
                message["headers"] = [*given, *ids]
                if health.draining:  # clients open their next connection to another process
                    message["headers"].append(_CLOSE)
                if cost.queries:
                    span.set_attributes(cost.attributes)
                if scope.get("root_path", "") != root_path:
                    self._name_mounted(span, scope)
            else:
                complete = not message.get("more_body", False)
            await send(message)

        with database_cost() as cost:
            try:
                await self._app(scope, receive, send_with_ids)
            finally:
                if not complete and span.is_recording():  # the client left before it had the whole response
                    span.set_attribute("error.type", ConnectionError.__name__)
                    span.set_status(StatusCode.ERROR)
                if not scope["path"].startswith(PROBES):
                    self._access_line(scope, status=status or _CLIENT_GONE, started=started, cost=cost)

    def _name_mounted(self, span: Span, scope: Scope) -> None:
        """Name the span of a mounted application's request by the whole route: the instrumentation sees the mount."""
        if route := self._route_of(scope):
            method = sanitize_method(scope["method"])
            span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
            span.set_attribute("http.route", route)

    def _access_line(self, scope: Scope, *, status: int, started: float, cost: DatabaseCost) -> None:
        write = log.error if status >= _SERVER_ERROR else log.info
        write(
            "http_request",
            **{
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "http.route": self._route_of(scope),
                "http.response.status_code": status,
            },
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
            db_queries=cost.queries,
            db_ms=cost.milliseconds,
        )


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
                span = trace.get_current_span()
                span.set_attribute("error.type", type(error).__qualname__)
                span.end()  # the instrumentation would record the exception a second time, and not redacted
                raise
            await problem_response(problem, instance=scope["path"])(scope, receive, send)


def _recorded(error: Exception) -> Problem:
    blame(trace.get_current_span(), error)
    return unexpected(error)


def unrecorded_span() -> Span:
    """Return a span that is not recorded, for the ids in a response's headers."""
    context = SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False)
    return NonRecordingSpan(context)


def request_id_of(scope: Scope) -> str:
    """Return the id that the client gave to the request, or a new one."""
    given = header(scope, _REQUEST_ID) or ""
    return given if _ACCEPTED_ID.fullmatch(given) else f"{getrandbits(128):032x}"  # unique, and no secret
