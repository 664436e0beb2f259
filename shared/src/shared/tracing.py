"""Spans that are worth reading: what goes well within a hop is an event of its span, what does not is a span (ADR 11).

A hop (a request served, an event published or processed, a job run, a message handed over) always has a span. What it
asks a store or another service for has one only where that tells something: it failed, it was slow, or it is a
decision of the business. Whether it does is known when it is over, so such a span is made afterwards.
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

from shared.redaction import redacted

SYNTHETIC = "hopline.synthetic"

_NS = 1_000_000_000


def tracer_of(name: str) -> trace.Tracer:
    """Return the tracer of a module, for use at import: it starts spans of the provider that is set later.

    `opentelemetry.trace.get_tracer` would load the provider that OTEL_PYTHON_TRACER_PROVIDER names at once, in the
    process that imports the module and without this process's resource.
    """
    return trace.ProxyTracerProvider().get_tracer(name)


_tracer = tracer_of(__name__)


def tell(what: str, *, took_s: float) -> None:
    """Note on the current span that something went well; the event's time is its end. About 2 µs."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(what, {"hopline.duration_ms": round(took_s * 1000, 3)})


def show(
    name: str, *, took_s: float, attributes: Mapping[str, AttributeValue], error_type: str = "", why: str | None = None
) -> None:
    """Make the CLIENT span of what has just ended, `took_s` seconds after it began, below the current span.

    Failed where `error_type` says how; `why` is for people, and must hold nobody's data.
    """
    end = time_ns()
    start = end - int(took_s * _NS)
    span = _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start)
    if error_type:
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR, why)
    span.end(end)


def blame(span: Span, error: BaseException) -> None:
    """Record `error` on `span` and mark it failed.

    `Span.record_exception` would keep what messages quote (see `redacted`) and adds the deprecated `exception.escaped`.
    """
    message = redacted(str(error))
    stack = redacted("".join(traceback.format_exception(error)))
    attributes = {"exception.type": _type_of(error), "exception.message": message, "exception.stacktrace": stack}
    span.add_event("exception", attributes)
    span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {message}" if message else type(error).__name__)


@contextmanager
def active(span: Span) -> Iterator[None]:
    """Make a started span the current one within the block, then end it.

    An exception that leaves the block is recorded by `blame`: OpenTelemetry would record it unredacted.
    """
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except Exception as error:
            blame(span, error)
            raise


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def traceparent(span: SpanContext) -> str:
    """How W3C's Trace Context says which span it is: version, trace, span, flags."""
    trace_id, span_id, _remote, flags, _state, _valid = span  # each attribute would be a call
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


def arrived_baggage(context: Context | None = None) -> dict[str, AttributeValue]:
    """What a trace's last hops show of the baggage that came with it: whether the traffic is a load test's."""
    synthetic = baggage.get_baggage(SYNTHETIC, context)
    return {SYNTHETIC: str(synthetic)} if synthetic else {}


@contextmanager
def trace_of_its_own() -> Iterator[None]:
    """What the process does for itself, whoever's request it happens in: it begins a trace instead of joining one."""
    token = otel_context.attach(Context())
    try:
        yield
    finally:
        otel_context.detach(token)
