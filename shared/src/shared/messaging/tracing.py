"""How a trace crosses what no HTTP header crosses: rows, stream entries, frames.

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

from shared.events.cloudevent import CloudEvent
from shared.statements import database_cost
from shared.tracing import blame, traceparent, tracer_of

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_PROPAGATOR = CompositePropagator([_TRACE_CONTEXT, W3CBaggagePropagator()])
_tracer = tracer_of("shared.events")
_durations = metrics.get_meter("shared.events").create_histogram(
    "messaging.process.duration",
    unit="s",
    description="One attempt at an event or a job",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
)


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace context and its baggage as the three W3C header values; what is absent is None."""

    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None

    @classmethod
    def current(cls) -> Self:
        """That of the running span."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return cls(carrier.get("traceparent"), carrier.get("tracestate"), carrier.get("baggage"))

    @classmethod
    def of_event(cls, event: CloudEvent) -> Self:
        """That which `event` carries."""
        return cls(event.traceparent, event.tracestate, event.baggage)

    def context(self) -> Context:
        """A context with the remote span and the baggage: attach it, then start the span.

        `start_as_current_span(context=…)` alone would take the parent and leave the baggage behind.
        """
        return _PROPAGATOR.extract(self._carrier(), Context())

    def remote(self) -> Context:
        """A context with the remote span alone: all that a span of its own takes from it, at a third of the cost."""
        return _TRACE_CONTEXT.extract(self._carrier(), Context())

    def _carrier(self) -> dict[str, str]:
        named = {"traceparent": self.traceparent, "tracestate": self.tracestate, "baggage": self.baggage}
        return {name: value for name, value in named.items() if value}

    def continued_by(self, span: Span) -> Self:
        """That of `span`, which was started in this one; the baggage goes on as it is."""
        context = span.get_span_context()
        if not context.is_valid:
            return self
        return replace(self, traceparent=traceparent(context), tracestate=context.trace_state.to_header() or None)

    def link(self) -> Link | None:
        """A link to the remote span, for a second try; None without one."""
        remote = trace.get_current_span(self.remote()).get_span_context()
        return Link(remote) if remote.is_valid else None


def start_publish_span(
    stream: str, event: Mapping[str, Any], arrived: Trace, *, server: Mapping[str, AttributeValue]
) -> Span:
    """The PRODUCER span of one event's way into `stream`; the caller ends it, or drops it unsent.

    `event` has the attributes of an event, `arrived` the trace that came with it, `server` the address of Redis.
    """
    return _tracer.start_span(
        f"publish {stream}",
        context=arrived.remote(),
        kind=SpanKind.PRODUCER,
        attributes={**server, **_attributes("publish", "send", stream, event)},
    )


@contextmanager
def event_context(event: CloudEvent) -> Iterator[None]:
    """Make the trace context and baggage that `event` carries the current ones, so that logs belong to its trace."""
    token = otel_context.attach(Trace.of_event(event).context())
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
    applied_in: Trace | None = None,
) -> Iterator[Span]:
    """The CONSUMER span of one attempt at `event`, to be opened within its `event_context`.

    It is the child of the span that published the event; where `redelivered`, it says so and links there as well, and
    to the span that it was `applied_in` before, which may have died with its process unseen.
    An exception leaving the block is recorded and marks the span as failed.
    """
    attributes = {**server, **_attributes("process", "process", stream, dict(event))}
    attributes["messaging.consumer.group.name"] = group
    published = Trace.of_event(event)
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
        database_cost() as cost,
    ):
        try:
            yield span
        except BaseException as error:
            failed = type(error).__qualname__
            if isinstance(error, Exception):
                blame(span, error)
            raise
        finally:
            span.set_attributes(cost.attributes)
            _measure(stream, group, perf_counter() - started, failed)


def _measure(stream: str, group: str, took_s: float, failed: str) -> None:
    """Within the span, so that the figure leads to it (an exemplar)."""
    labels: dict[str, AttributeValue] = {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.destination.name": stream,
        "messaging.consumer.group.name": group,
    }
    _durations.record(took_s, {**labels, "error.type": failed} if failed else labels)


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
