"""Trace context of rows, stream entries and frames, and the spans of publishing and processing events.

The attributes follow OpenTelemetry's semantic conventions for messaging and CloudEvents.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Self

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from shared.db.statements import DatabaseCost
from shared.messaging.cloudevent import CloudEvent
from shared.telemetry.spans import format_traceparent, get_tracer, record_exception

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_PROPAGATOR = CompositePropagator([_TRACE_CONTEXT, W3CBaggagePropagator()])
_tracer = get_tracer("shared.messaging")
_durations = metrics.get_meter("shared.messaging").create_histogram(
    "messaging.process.duration",
    unit="s",
    description="Duration of one attempt at an event or a job",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Trace context and baggage as the three W3C header values, None if absent."""

    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None

    @classmethod
    def current(cls) -> Self:
        """Return the trace context of the current span."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return cls(carrier.get("traceparent"), carrier.get("tracestate"), carrier.get("baggage"))

    @classmethod
    def from_event(cls, event: CloudEvent) -> Self:
        """Return the trace context of `event`."""
        return cls(event.traceparent, event.tracestate, event.baggage)

    def context(self) -> Context:
        """Return an OpenTelemetry context with the remote span and the baggage.

        Attach it before a span is started: `start_as_current_span(context=…)` ignores its baggage.
        """
        return _PROPAGATOR.extract(self._carrier(), Context())

    def remote_parent(self) -> Context:
        """Return a context with the remote span only, at a third of the cost of `context`."""
        return _TRACE_CONTEXT.extract(self._carrier(), Context())

    def _carrier(self) -> dict[str, str]:
        named = {"traceparent": self.traceparent, "tracestate": self.tracestate, "baggage": self.baggage}
        return {name: value for name, value in named.items() if value}

    def continued_by(self, span: Span) -> Self:
        """Return the trace context of `span`, a child of this one, with the same baggage."""
        context = span.get_span_context()
        if not context.is_valid:
            return self
        return replace(
            self, traceparent=format_traceparent(context), tracestate=context.trace_state.to_header() or None
        )

    def link(self) -> Link | None:
        """Return a link to the remote span, or None."""
        remote = trace.get_current_span(self.remote_parent()).get_span_context()
        return Link(remote) if remote.is_valid else None


def start_publish_span(
    stream: str, event: Mapping[str, Any], parent: TraceContext, *, server: Mapping[str, AttributeValue]
) -> Span:
    """Start the PRODUCER span of an event. The caller ends it once the event was appended.

    `event` has the attributes of the event, `parent` the trace context of its publisher, `server` the address of Redis.
    """
    return _tracer.start_span(
        f"publish {stream}",
        context=parent.remote_parent(),
        kind=SpanKind.PRODUCER,
        attributes={**server, **_attributes("publish", "send", stream, event)},
    )


@contextmanager
def event_context(event: CloudEvent) -> Iterator[None]:
    """Attach the trace context and baggage of `event`, so that log records belong to its trace."""
    token = otel_context.attach(TraceContext.from_event(event).context())
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def process_span(
    stream: str,
    group: str,
    event: CloudEvent,
    *,
    server: Mapping[str, AttributeValue],
    redelivered: bool,
    applied_in: TraceContext | None = None,
) -> Iterator[Span]:
    """Open the CONSUMER span of one attempt at `event`, within its `event_context`.

    The span is a child of the span that published the event. For a redelivery it also links to that span, and to
    `applied_in`, the span that applied the event before. Exceptions that leave the block are recorded.
    """
    attributes = {**server, **_attributes("process", "process", stream, dict(event))}
    attributes["messaging.consumer.group.name"] = group
    published = TraceContext.from_event(event)
    origins = [published] if redelivered else []
    if redelivered:
        attributes["hopline.messaging.redelivered"] = True
    if applied_in is not None:
        attributes["hopline.applied_before"] = True
        origins += [applied_in] if applied_in.traceparent != published.traceparent else []
    started, failed = perf_counter(), ""
    with (
        _tracer.start_as_current_span(
            f"process {stream}",
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=[link for origin in origins if (link := origin.link())],
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        DatabaseCost() as cost,
    ):
        try:
            yield span
        except BaseException as error:
            failed = type(error).__qualname__
            if isinstance(error, Exception):
                record_exception(span, error)
            raise
        finally:
            span.set_attributes(cost.attributes)
            _measure(stream, group, perf_counter() - started, failed)


def _measure(stream: str, group: str, duration_s: float, failed: str) -> None:
    """Record the duration. Call it within the span, so that the metric has an exemplar."""
    labels: dict[str, AttributeValue] = {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.destination.name": stream,
        "messaging.consumer.group.name": group,
    }
    _durations.record(duration_s, {**labels, "error.type": failed} if failed else labels)


def _attributes(operation: str, kind: str, stream: str, event: Mapping[str, Any]) -> dict[str, AttributeValue]:
    event_id = str(event["id"])
    return {
        "messaging.system": "redis",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": stream,
        "messaging.message.id": event_id,
        "cloudevents.event_id": event_id,
        "cloudevents.event_source": event["source"],
        "cloudevents.event_type": event["type"],
        "cloudevents.event_subject": event["subject"],
    }
