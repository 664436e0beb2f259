"""Telemetry of a job: one span and three histograms."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from shared.db.statements import DatabaseCost
from shared.telemetry.spans import get_tracer, record_exception
from workers.jobs.repository import Claim

_tracer = get_tracer("workers")
_meter = metrics.get_meter("workers")
_BOUNDARIES = [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

_wait = _meter.create_histogram(
    "hopline.job.wait",
    unit="s",
    description="From when a job was due to when a worker claimed it",
    explicit_bucket_boundaries_advisory=_BOUNDARIES,
)
_duration = _meter.create_histogram(
    "messaging.process.duration",
    unit="s",
    description="One attempt at an event or a job",
    explicit_bucket_boundaries_advisory=_BOUNDARIES,
)
_attempts = _meter.create_histogram(
    "hopline.job.attempts",
    unit="{attempt}",
    description="Attempts that a job took until it was done or dead",
    explicit_bucket_boundaries_advisory=[1, 2, 3, 5, 10, 20],
)


@contextmanager
def job_span(claim: Claim, *, queue: str, server: Mapping[str, AttributeValue]) -> Iterator[Span]:
    """Start the CONSUMER span of one attempt, with the trace context and the baggage of the job's row.

    The span is a child of the span that added the job. From the second attempt on, it also links to that span. `server`
    has the address attributes of the Redis server of the queue.
    """
    link = claim.trace.link() if claim.attempt > 1 else None
    token = otel_context.attach(claim.trace.context())
    try:
        with (
            _tracer.start_as_current_span(
                f"run {claim.type_name}",
                kind=SpanKind.CONSUMER,
                links=[link] if link else [],
                record_exception=False,
                set_status_on_exception=False,
                attributes={
                    **server,
                    "messaging.system": "arq",
                    "messaging.operation.name": "run",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": queue,
                    "messaging.message.id": str(claim.job_id),
                    "hopline.job.kind": claim.type_name,
                    "hopline.job.attempt": claim.attempt,
                    "hopline.job.wait_s": claim.waited_s,
                },
            ) as span,
            DatabaseCost() as cost,
        ):
            try:
                yield span
            finally:
                span.set_attributes(cost.attributes)
    finally:
        otel_context.detach(token)


def record_attempt(claim: Claim, *, outcome: str, duration_s: float) -> None:
    """Record an attempt in the metrics and the current span. `outcome` is done, failed, dead, released or lost."""
    _wait.record(claim.waited_s, {"hopline.job.kind": claim.type_name})
    attributes = {
        "messaging.system": "arq",
        "messaging.operation.name": "run",
        "hopline.job.kind": claim.type_name,
        "hopline.job.outcome": outcome,
    }
    _duration.record(duration_s, attributes)
    if outcome in {"done", "dead"}:
        _attempts.record(claim.attempt, attributes)
    trace.get_current_span().set_attribute("hopline.job.outcome", outcome)


def record_failure(error: BaseException) -> None:
    """Record `error` in the current span."""
    span = trace.get_current_span()
    record_exception(span, error)
    span.set_attribute("error.type", type(error).__qualname__)


def describe(error: BaseException) -> str:
    """Return the type and the message of an error."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
