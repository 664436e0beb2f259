"""The middleware of every service: pure ASGI, one pass over the request each.

`RequestContext` gives the request a span and an id, binds the id to the log context, adds `X-Request-ID` and
`traceresponse` to every response and writes one access line. `UnexpectedErrors` answers what nobody else did as a
problem. BaseHTTPMiddleware would cost a task and a queue per request and hide context variables set below it.
"""

import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from random import getrandbits

import structlog
from opentelemetry import trace
from opentelemetry.trace import Span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Problem, problem_response, unexpected
from shared.server_telemetry import PROBES, ServedRequest, route_of, untraced, untraced_span
from shared.statements import DatabaseCost, database_cost
from shared.strangers import bound_context
from shared.tracing import blame, traceparent

log = structlog.get_logger("http")

REQUEST_ID = "X-Request-ID"

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_SERVER_ERROR = 500
_CLIENT_GONE = 499
"""Logged where the client hung up before it had an answer; the number is nginx's."""
_REQUEST_ID = REQUEST_ID.lower().encode()
_TRACERESPONSE = b"traceresponse"
_IDS = (_REQUEST_ID, _TRACERESPONSE)
_LISTS = (b"tracestate", b"baggage")
_WANTED = frozenset((_REQUEST_ID, b"host", b"traceparent", *_LISTS))

current_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served here, which the calls that it causes carry on."""


class RequestContext:
    """ASGI middleware; place it outermost. A `public` service trusts nobody's headers (`shared.strangers`)."""

    def __init__(self, app: ASGIApp, *, public: bool = False) -> None:
        self._app = app
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        scope["fastapi.telemetry"] = None  # what is mounted below tells nothing of its own
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _read(scope)
        if self._public:
            bound_context(headers)
        request_id = _request_id(headers)
        if untraced(scope["path"]):
            with trace.use_span(untraced_span()) as span:
                await self._serve(scope, receive, send, request_id=request_id, span=span)
        else:
            with ServedRequest(scope, headers) as served:
                await self._serve(scope, receive, send, request_id=request_id, span=served.span, served=served)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        request_id: str,
        span: Span,
        served: ServedRequest | None = None,
    ) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        current_request_id.set(request_id)
        started = time.perf_counter()
        context = span.get_span_context()
        ids = [(_REQUEST_ID, request_id.encode())]
        if not context.is_remote:  # else no span was made (`OTEL_SDK_DISABLED`), and this is the caller's own
            ids.append((_TRACERESPONSE, traceparent(context).encode()))  # W3C Trace Context Level 2 has them alike
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = [pair for pair in message["headers"] if pair[0] not in _IDS]
                message["headers"] = [*given, *ids]
                if cost.queries:
                    span.set_attributes(cost.attributes)
                if served:
                    served.status = status
                await send(message)
                return
            await send(message)
            if served and not message.get("more_body", False):
                served.end()

        with database_cost() as cost:
            try:
                await self._app(scope, receive, send_with_ids)
            finally:
                if not scope["path"].startswith(PROBES):
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


def _read(scope: Scope) -> dict[bytes, bytes]:
    """The headers that matter here, in one pass; lists that came in several are joined, of others the first counts."""
    read: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _WANTED:
            if name not in read:
                read[name] = value
            elif name in _LISTS:
                read[name] += b"," + value
    return read


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(_REQUEST_ID, b"").decode("latin-1")
    return given if _ACCEPTED_ID.fullmatch(given) else f"{getrandbits(128):032x}"  # unique, and no secret


def _access_line(scope: Scope, *, status: int, started: float, cost: DatabaseCost) -> None:
    write = log.error if status >= _SERVER_ERROR else log.info
    write(
        "http_request",
        method=scope["method"],
        path=scope["path"],
        route=route_of(scope),
        status=status,
        duration_ms=round((time.perf_counter() - started) * 1000, 2),
        db_queries=cost.queries,
        db_ms=cost.milliseconds,
    )
