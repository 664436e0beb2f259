"""The span of each delivered notification."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from notifications.realtime.frames import NotificationFrame
from shared.messaging import TraceContext
from shared.telemetry.spans import get_baggage_attributes, get_tracer, use_span

_tracer = get_tracer(__name__)


@contextmanager
def delivery_span(user_id: UUID, frame: NotificationFrame) -> Iterator[NotificationFrame]:
    """Record the delivery of one notification to one socket. Yields the frame with the context of this span.

    The parent is the span that consumed the event, so the delivery belongs to the trace of the original request.
    """
    consumed = TraceContext(frame.traceparent, frame.tracestate, frame.baggage)
    parent = consumed.context()
    attributes: dict[str, AttributeValue] = {
        "messaging.system": "websocket",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "notification",
        "messaging.message.id": str(frame.id),
        "user.id": str(user_id),
        "hopline.notification.kind": frame.kind,
        "hopline.notification.seq": frame.seq,
        **get_baggage_attributes(parent),
    }
    span = _tracer.start_span("send notification", context=parent, kind=SpanKind.PRODUCER, attributes=attributes)
    with use_span(span):
        delivered = consumed.continued_by(span)
        yield frame.model_copy(
            update={
                "traceparent": delivered.traceparent,
                "tracestate": delivered.tracestate,
                "baggage": delivered.baggage,
            }
        )
