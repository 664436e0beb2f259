"""One span per delivered notification, and the frame that carries it on to the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from notifications.realtime.frames import NotificationFrame
from shared.events import Trace
from shared.tracing import active, arrived_baggage, tracer_of

_tracer = tracer_of(__name__)


@contextmanager
def delivery_span(user_id: UUID, frame: NotificationFrame) -> Iterator[NotificationFrame]:
    """The PRODUCER span of one notification's way into one socket; yields the frame that carries this span's context.

    Its parent is the span that consumed the event, so that the device is the last hop of the request's own trace.
    """
    arrived = Trace(frame.traceparent, frame.tracestate, frame.baggage)
    parent = arrived.context()
    attributes: dict[str, AttributeValue] = {
        "messaging.system": "websocket",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "notification",
        "messaging.message.id": str(frame.id),
        "user.id": str(user_id),
        "hopline.notification.kind": frame.kind,
        "hopline.notification.seq": frame.seq,
        **arrived_baggage(parent),
    }
    span = _tracer.start_span("send notification", context=parent, kind=SpanKind.PRODUCER, attributes=attributes)
    with active(span):
        carried = arrived.continued_by(span)
        yield frame.model_copy(
            update={"traceparent": carried.traceparent, "tracestate": carried.tracestate, "baggage": carried.baggage}
        )
