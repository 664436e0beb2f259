"""The request context and the handling of unexpected errors, as pure ASGI middleware.

`RequestContextMiddleware` gives the request an id, binds it to the log context, adds `X-Request-ID` and `traceresponse`
to every response, completes the span that OpenTelemetry's instrumentation started, and writes one access log record.
`UnexpectedErrorMiddleware` renders unhandled exceptions as problems. BaseHTTPMiddleware would cost a task and a queue
per request, and would hide context variables set below it.
"""

import re
import time
from collections.abc import Callable
from http import HTTPStatus
from random import getrandbits

import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, StatusCode
from opentelemetry.util.http import sanitize_method
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.context import MAX_TIMEOUT_S, REQUEST_ID, REQUEST_TIMEOUT, RequestContext, get_context, set_context
from shared.db.statements import DatabaseCost
from shared.errors.problems import ProblemError, log_exception, problem_from_exception, problem_response
from shared.telemetry.spans import format_traceparent, record_exception
from shared.web.headers import get_header

log = structlog.get_logger("http")

PROBES = "/health/"

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_CLIENT_GONE = 499
"""Logged if the client disconnected before the response; nginx uses the same number."""
_REQUEST_ID = REQUEST_ID.lower().encode()
_REQUEST_TIMEOUT = REQUEST_TIMEOUT.lower().encode()
_MAX_DIGITS = 9
"""Maximum number of digits of a request timeout. A longer header is malformed."""
_TRACERESPONSE = b"traceresponse"
_id_generator = RandomIdGenerator()
_ID_HEADERS = (_REQUEST_ID, _TRACERESPONSE)
_CLOSE = (b"connection", b"close")


class RequestContextMiddleware:
    """ASGI middleware that creates the context of a request (`shared.context`) and writes its access log record.

    It is the outermost middleware, directly inside the instrumentation that starts the request's span.
    `get_route_template` returns the template of the route that a request was matched to. `timeout_s` is the time in
    seconds that a request has, unless its caller waits for less; None means no limit.
    """

    def __init__(
        self, app: ASGIApp, *, get_route_template: Callable[[Scope], str | None], timeout_s: float | None = None
    ) -> None:
        self._app = app
        self._get_route_template = get_route_template
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span = trace.get_current_span()
        context = span.get_span_context()
        if not context.is_valid:  # the path is excluded from instrumentation
            with trace.use_span(unrecorded_span()):
                await self(scope, receive, send)
            return
        request_id = get_request_id(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        set_context(RequestContext(request_id=request_id), deadline=self._get_deadline(scope))
        started = time.perf_counter()
        ids = [(_REQUEST_ID, request_id.encode())]
        if not context.is_remote:  # with OTEL_SDK_DISABLED the current span is that of the caller
            ids.append((_TRACERESPONSE, format_traceparent(context).encode()))
        root_path, status, complete = scope.get("root_path", ""), 0, False
        health = scope["app"].state.health  # a mounted application replaces `scope["app"]`

        async def send_with_ids(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                given = [pair for pair in message["headers"] if pair[0] not in _ID_HEADERS]
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

        with DatabaseCost() as cost:
            try:
                await self._app(scope, receive, send_with_ids)
            finally:
                if not complete:
                    _record_disconnect(span)
                self._log_access(scope, status=status or _CLIENT_GONE, started=started, cost=cost)

    def _get_deadline(self, scope: Scope) -> float | None:
        """Return when the caller stops waiting. A malformed header is ignored."""
        seconds = self._timeout_s
        given = get_header(scope, _REQUEST_TIMEOUT) or ""
        if given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS:
            seconds = min(int(given) / 1000, MAX_TIMEOUT_S if seconds is None else seconds)
        return None if seconds is None else time.monotonic() + seconds

    def _name_mounted(self, span: Span, scope: Scope) -> None:
        """Name the span by the whole route, because the instrumentation uses the path of the mount."""
        if route := self._get_route_template(scope):
            method = sanitize_method(scope["method"])
            span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
            span.set_attribute("http.route", route)

    def _log_access(self, scope: Scope, *, status: int, started: float, cost: DatabaseCost) -> None:
        if scope["path"].startswith(PROBES):
            return
        write = log.error if status >= HTTPStatus.INTERNAL_SERVER_ERROR else log.info
        write(
            "http_request",
            **{
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "http.route": self._get_route_template(scope),
                "http.response.status_code": status,
            },
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
            db_queries=cost.queries,
            db_ms=cost.milliseconds,
        )


def _record_disconnect(span: Span) -> None:
    """Record that the client disconnected before the end of the response."""
    if span.is_recording():
        span.set_attribute("error.type", ConnectionError.__name__)
        span.set_status(StatusCode.ERROR)


class UnexpectedErrorMiddleware:
    """ASGI middleware that renders and records unhandled exceptions.

    A ProblemError of an inner middleware is rendered unchanged. The exceptions of a mounted application arrive here
    after their response (`shared.web.error_handlers.mount_with_error_handlers`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = complete = False

        async def send_and_track(message: Message) -> None:
            nonlocal started, complete
            started = True
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, send_and_track)
        except Exception as error:
            problem = error if isinstance(error, ProblemError) else record_unexpected(error)
            if not started:
                await problem_response(problem, instance=scope["path"])(scope, receive, send)
            elif not complete:  # raise, so that the server closes the connection and the client detects it
                span = trace.get_current_span()
                span.set_attribute("error.type", type(error).__qualname__)
                span.end()  # otherwise the instrumentation records the exception again, without redaction
                raise


def record_unexpected(error: Exception) -> ProblemError:
    """Record an exception on the span and in the log, once per request, and return its problem."""
    context, span = get_context(), trace.get_current_span()
    if context.recorded is not error:
        context.recorded = error
        if span.is_recording():  # the span ends with the response, and then takes no event
            record_exception(span, error)
        log_exception(error)
    return problem_from_exception(error)


def unrecorded_span() -> Span:
    """Return a span that is not recorded, for the ids in a response's headers."""
    context = SpanContext(_id_generator.generate_trace_id(), _id_generator.generate_span_id(), is_remote=False)
    return NonRecordingSpan(context)


def get_request_id(scope: Scope) -> str:
    """Return the id that the client gave to the request, or a new one."""
    given = get_header(scope, _REQUEST_ID) or ""
    return given if _ACCEPTED_ID.fullmatch(given) else f"{getrandbits(128):032x}"  # unique, but not secret
