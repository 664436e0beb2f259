"""Spans and span events (ADR 11).

A hop always has a span: a served request, a published or processed event, a job, a delivered message. A statement gets
its own span only if it failed, was slow, or is a business decision. Otherwise it is an event of the hop's span. The
decision needs the statement's result, so the span is created when the statement has ended.
"""

import asyncio
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import time_ns

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.environment_variables import OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from shared.logging.redaction import redact_text

SYNTHETIC = "hopline.synthetic"
"""Baggage member and span attribute of the requests of load tests."""

_NS = 1_000_000_000


def get_tracer(name: str) -> trace.Tracer:
    """Return the tracer of a module, for use at import. It uses the provider that is set later."""
    return get_tracer_provider().get_tracer(name)


def get_tracer_provider() -> trace.TracerProvider:
    """Return the global provider. Until one is set, return OpenTelemetry's proxy, whose tracers use it later.

    If OTEL_PYTHON_TRACER_PROVIDER is set, `opentelemetry.trace.get_tracer_provider` would create the provider of that
    name and set it. This provider would lack the process's resource and exporter.
    """
    provider_name = os.environ.pop(OTEL_PYTHON_TRACER_PROVIDER, None)
    try:
        return trace.get_tracer_provider()
    finally:
        if provider_name is not None:
            os.environ[OTEL_PYTHON_TRACER_PROVIDER] = provider_name


_tracer = get_tracer(__name__)


def add_event(name: str, *, duration_s: float) -> None:
    """Add an event with the duration of a finished operation to the current span. Takes about 2 µs."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(name, {"hopline.duration_ms": round(duration_s * 1000, 3)})


def record_span(
    name: str, *, duration_s: float, attributes: Mapping[str, AttributeValue], error_type: str = ""
) -> None:
    """Record a CLIENT span for an operation that has just ended after `duration_s` seconds.

    `error_type` sets the status to ERROR.
    """
    end = time_ns()
    start = end - int(duration_s * _NS)
    span = _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start)
    if error_type:
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR)
    span.end(end)


def record_exception(span: Span, error: BaseException) -> None:
    """Record `error` on `span`, redacted, and set its status to ERROR.

    `Span.record_exception` would not redact, and adds the deprecated attribute `exception.escaped`.
    """
    message = redact_text(str(error))
    stack = redact_text("".join(traceback.format_exception(error)))
    attributes = {"exception.type": _type_of(error), "exception.message": message, "exception.stacktrace": stack}
    span.add_event("exception", attributes)
    span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {message}" if message else type(error).__name__)


@contextmanager
def use_span(span: Span, *, record_cancellation: bool = False) -> Iterator[Span]:
    """Make `span` the current span within the block, then end it.

    An exception that leaves the block is recorded. With `record_cancellation`, a cancellation sets the status to ERROR.
    OpenTelemetry's `use_span` would not redact the exception's message and stack trace, nor the description of the
    span's status.
    """
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Exception as error:
            record_exception(span, error)
            raise
        except asyncio.CancelledError:
            if record_cancellation:
                span.set_attribute("error.type", "CancelledError")
                span.set_status(StatusCode.ERROR)
            raise


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def format_traceparent(span_context: SpanContext) -> str:
    """Return the `traceparent` of W3C Trace Context: version, trace id, span id, flags."""
    trace_id, span_id = trace.format_trace_id(span_context.trace_id), trace.format_span_id(span_context.span_id)
    return f"00-{trace_id}-{span_id}-{span_context.trace_flags:02x}"


def get_baggage_attributes(context: Context | None = None) -> dict[str, AttributeValue]:
    """Return the span attributes from the baggage: `hopline.synthetic` marks the traffic of load tests."""
    synthetic = baggage.get_baggage(SYNTHETIC, context)
    return {SYNTHETIC: str(synthetic)} if synthetic else {}


@contextmanager
def detached_context() -> Iterator[None]:
    """Run the block in an empty OpenTelemetry context, so that spans in it start a new trace.

    Baggage and suppression flags do not apply. Use this for work that is not part of the current request.
    """
    token = otel_context.attach(Context())
    try:
        yield
    finally:
        otel_context.detach(token)
