"""Spans and span events (ADR 11).

A hop always has a span: a served request, a published or processed event, a job, a delivered message. A statement
within a hop has a separate span only if it failed, was slow or decides about business rules; any other statement is an
event of the hop's span. This is known when the statement has ended, so its span is created afterwards.
"""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import time_ns

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from shared.logging.redaction import redact_text

SYNTHETIC = "hopline.synthetic"

_NS = 1_000_000_000


def get_tracer(name: str) -> trace.Tracer:
    """Return the tracer of a module, for use at import. It uses the provider that is set later.

    `opentelemetry.trace.get_tracer` would create the provider of OTEL_PYTHON_TRACER_PROVIDER during the import, without
    this process's resource.
    """
    return trace.ProxyTracerProvider().get_tracer(name)


_tracer = get_tracer(__name__)


def add_event(name: str, *, took_s: float) -> None:
    """Add an event with its duration to the current span, at its end. Takes about 2 µs."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(name, {"hopline.duration_ms": round(took_s * 1000, 3)})


def record_span(name: str, *, took_s: float, attributes: Mapping[str, AttributeValue], error_type: str = "") -> None:
    """Record a CLIENT span for an operation that has just ended after `took_s` seconds.

    With an `error_type` the span has failed.
    """
    end = time_ns()
    start = end - int(took_s * _NS)
    span = _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start)
    if error_type:
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR)
    span.end(end)


def record_exception(span: Span, error: BaseException) -> None:
    """Record `error` on `span`, redacted, and set the status.

    `Span.record_exception` would not redact, and adds the deprecated attribute `exception.escaped`.
    """
    message = redact_text(str(error))
    stack = redact_text("".join(traceback.format_exception(error)))
    attributes = {"exception.type": _type_of(error), "exception.message": message, "exception.stacktrace": stack}
    span.add_event("exception", attributes)
    span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {message}" if message else type(error).__name__)


@contextmanager
def use_span(span: Span) -> Iterator[Span]:
    """Make `span` the current span within the block, then end it.

    An exception that leaves the block is recorded redacted, unlike by OpenTelemetry's own `use_span`.
    """
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Exception as error:
            record_exception(span, error)
            raise


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def format_traceparent(span: SpanContext) -> str:
    """Return the `traceparent` of W3C Trace Context: version, trace id, span id, flags."""
    trace_id, span_id, _remote, flags, _state, _valid = span  # unpacked, because each attribute access is a call
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


def get_baggage_attributes(context: Context | None = None) -> dict[str, AttributeValue]:
    """Return the span attributes from the baggage: `hopline.synthetic` marks the traffic of load tests."""
    synthetic = baggage.get_baggage(SYNTHETIC, context)
    return {SYNTHETIC: str(synthetic)} if synthetic else {}


@contextmanager
def start_new_trace() -> Iterator[None]:
    """Start a new trace in the block, for work that is not part of the current request."""
    token = otel_context.attach(Context())
    try:
        yield
    finally:
        otel_context.detach(token)
