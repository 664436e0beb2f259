"""What a job's run looks like in telemetry: one span and two measurements."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from shared.statements import database_cost
from shared.tracing import blame, tracer_of
from workers.ledger import Claim

_tracer = tracer_of("workers")
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
    """The CONSUMER span of one attempt, current inside the block, with the baggage of what caused the job.

    It is a child of the span that added the job; from the second attempt on it also links there. `server` is the
    address of the queue's Redis server.
    """
    link = claim.trace.link() if claim.attempt > 1 else None
    token = otel_context.attach(claim.trace.context())
    try:
        with (
            _tracer.start_as_current_span(
                f"run {claim.kind}",
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
                    "hopline.job.kind": claim.kind,
                    "hopline.job.attempt": claim.attempt,
                    "hopline.job.wait_s": claim.waited_s,
                },
            ) as span,
            database_cost() as cost,
        ):
            try:
                yield span
            finally:
                span.set_attributes(cost.attributes)
    finally:
        otel_context.detach(token)


def record_attempt(claim: Claim, *, outcome: str, duration_s: float) -> None:
    """Measure an attempt; `outcome` is done, failed, dead, released or lost."""
    _wait.record(claim.waited_s, {"hopline.job.kind": claim.kind})
    attributes = {
        "messaging.system": "arq",
        "messaging.operation.name": "run",
        "hopline.job.kind": claim.kind,
        "hopline.job.outcome": outcome,
    }
    _duration.record(duration_s, attributes)
    if outcome in {"done", "dead"}:
        _attempts.record(claim.attempt, attributes)
    trace.get_current_span().set_attribute("hopline.job.outcome", outcome)


def record_failure(error: BaseException) -> None:
    """Mark the running attempt as failed by `error`."""
    span = trace.get_current_span()
    blame(span, error)
    span.set_attribute("error.type", type(error).__qualname__)


def describe(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
