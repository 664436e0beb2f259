"""The SERVER span and the measurements of each request, after the semantic conventions for HTTP (ADR 8)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from time import perf_counter
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue
from starlette.types import Scope

from shared.durations import Durations

PROBES = "/health/"
SOCKET = "/ws"

_CONTEXT = (b"traceparent", b"tracestate", b"baggage")
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))
"""All others are `_OTHER`: an attribute of metrics must not have as many values as clients can think of."""

_SENSITIVE = frozenset(("X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature", "sig"))
"""Parameters whose values are nobody's: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span"""

_SERVER_ERROR = 500
_PORTS = {"http": 80, "https": 443}
_HOSTS = 64

_ids = RandomIdGenerator()
_tracer = trace.get_tracer(__name__)
_meter = metrics.get_meter(__name__)
_durations = Durations("http.server.request.duration", scope=__name__, description="Duration of HTTP server requests")
_active: Counter[tuple[str, str]] = Counter()
"""Requests being served, by scheme and method."""


def _observed(_options: CallbackOptions) -> Iterator[Observation]:
    for (scheme, method), number in tuple(_active.items()):
        yield Observation(number, {"url.scheme": scheme, "http.request.method": method})


_meter.create_observable_up_down_counter(
    "http.server.active_requests", [_observed], unit="{request}", description="Number of active HTTP server requests"
)


def untraced(path: str) -> bool:
    """Probes would drown the traces; a WebSocket's span would stay open for hours."""
    return path.startswith(PROBES) or path == SOCKET


def untraced_span() -> Span:
    """A span for a request that telemetry leaves out: an id to answer with, that nobody records."""
    return NonRecordingSpan(SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False))


class ServedRequest:
    """A context around the serving of a request, with its span current.

    `headers` are the request's that matter here (`host` and the trace context), by lower-case name. Set `status` when
    the answer begins and call `end` with its last piece: what is done behind it is not the request's any more.
    """

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        self._started = perf_counter()
        self._scope = scope
        self._root: str = scope.get("root_path", "")
        self._ended = False
        self.status = 0
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        self._name = method if method != "_OTHER" else "HTTP"
        self._active = scope["scheme"], method
        self._told: dict[str, AttributeValue] = {
            "url.scheme": scope["scheme"],
            "http.request.method": method,
            "network.protocol.version": scope["http_version"],
        }
        self._caller = _caller(headers)
        span = _tracer.start_span(self._name, self._caller, SpanKind.SERVER, {**self._told, **_asked(scope, headers)})
        self.span = span if span.get_span_context().is_valid else untraced_span()

    def __enter__(self) -> Self:
        _active[self._active] += 1
        self._token = otel_context.attach(trace.set_span_in_context(self.span, self._caller))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.end(error)
        elif not self._ended:
            self.end(ConnectionError("the client left before it had all of the answer"))
        otel_context.detach(self._token)

    def end(self, error: BaseException | None = None) -> None:
        """End the span and record the duration, once."""
        if self._ended:
            return
        self._ended = True
        took, told, span = perf_counter() - self._started, self._told, self.span
        if route := route_of(self._scope) or self._mount():
            told["http.route"] = route
            span.update_name(f"{self._name} {route}")
        if self.status:
            told["http.response.status_code"] = self.status
        if error is not None or self.status >= _SERVER_ERROR:
            told["error.type"] = _qualified(error) if error else str(self.status)
            span.set_status(StatusCode.ERROR)
        span.set_attributes(told)
        _durations.record(took, told, span=span.get_span_context())
        _active[self._active] -= 1
        span.end()

    def _mount(self) -> str | None:
        """The template of a mounted application that had no route for the rest of the path."""
        root = self._scope.get("root_path", "")
        return None if root == self._root else f"{root}/{{path}}"


def route_of(scope: Scope) -> str | None:
    """The route's template with where it is mounted, `/v2/orders/{order_id}`; None where none matched."""
    included = scope.get("fastapi", {}).get("effective_route_context")  # FastAPI's, with what it was included below
    template = getattr(included or scope.get("route"), "path_format", None)
    return None if template is None else f"{scope.get('root_path', '')}{template}"


def _caller(headers: Mapping[bytes, bytes]) -> Context:
    """The context that the request came with; an empty one without."""
    carrier = {name.decode(): headers[name].decode("latin-1") for name in _CONTEXT if name in headers}
    return propagate.extract(carrier, Context()) if carrier else Context()


def _asked(scope: Scope, headers: Mapping[bytes, bytes]) -> dict[str, AttributeValue]:
    """What is known of a request before it is served, beside what its metrics say."""
    asked: dict[str, AttributeValue] = {"url.path": scope["path"]}
    if query := scope["query_string"]:
        asked["url.query"] = _query(query.decode("latin-1"))
    host = headers.get(b"host")
    address, port = (scope.get("server") or (None, None)) if host is None else _authority(host, scope["scheme"])
    if address is not None:
        asked["server.address"] = address
    if port is not None:
        asked["server.port"] = port
    if scope["method"] not in _METHODS:
        asked["http.request.method_original"] = scope["method"]
    return asked


@lru_cache(_HOSTS)
def _authority(host: bytes, scheme: str) -> tuple[str | None, int | None]:
    """Name and port of a `Host`; neither where it is none."""
    try:
        url = urlsplit("//" + host.decode("latin-1"))
        address, port = url.hostname, url.port
    except ValueError:
        return None, None
    if address is None or url.username is not None or url.path or url.query or url.fragment:
        return None, None
    return address, port or _PORTS.get(scheme)


def _query(query: str) -> str:
    if "%" not in query and not any(name in query for name in _SENSITIVE):
        return query
    parameters = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, "REDACTED" if name in _SENSITIVE else value) for name, value in parameters])


def _qualified(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
