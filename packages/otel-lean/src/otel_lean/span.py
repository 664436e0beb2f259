"""The span while it is recorded: a dict and two lists. `end` converts it to the SDK's `ReadableSpan`."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time_ns
from types import TracebackType

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue, Attributes

_UNSET = Status()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The common data of all spans of one tracer. `on_end` is called with each ended span."""

    provider: TracerProvider
    scope: InstrumentationScope
    limits: SpanLimits
    on_end: Callable[[ReadableSpan], None]


class Span(trace.Span):
    """Implements OpenTelemetry's span without a lock.

    Threads may change a span at the same time, because each change is one operation of a dict or a list. Only one
    thread may end it. The limits of the SDK apply to attributes, events and links (`OTEL_SPAN_*_LIMIT`). Calls after
    the end of the span are ignored.
    """

    __slots__ = (
        "_attributes",
        "_context",
        "_ended",
        "_events",
        "_kind",
        "_links",
        "_name",
        "_origin",
        "_parent",
        "_record_exception",
        "_set_status_on_exception",
        "_start_time",
        "_status",
    )

    def __init__(
        self,
        name: str,
        *,
        origin: Origin,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AnyValue],
        links: Sequence[Link],
        start_time: int,
        record_exception: bool,
        set_status_on_exception: bool,
    ) -> None:
        self._name = name
        self._origin = origin
        self._context = context
        self._parent = parent
        self._kind = kind
        self._attributes = attributes
        self._events: Sequence[Event] = ()
        self._links: Sequence[Link] = ()
        self._status = _UNSET
        self._start_time = start_time
        self._record_exception = record_exception
        self._set_status_on_exception = set_status_on_exception
        self._ended = False
        for link in links:
            self.add_link(link.context, link.attributes)

    @property
    def kind(self) -> SpanKind:
        """The span's kind. It is not part of the API, but instrumentations read it."""
        return self._kind

    def end(self, end_time: int | None = None) -> None:
        """End the span at `end_time` (nanoseconds since 1970, default now). Further calls have no effect."""
        if self._ended:
            return
        self._ended = True
        origin = self._origin
        limits = origin.limits
        origin.on_end(
            ReadableSpan(
                self._name,
                context=self._context,
                parent=self._parent,
                resource=origin.provider.resource,
                attributes=_limit_attributes(
                    self._attributes, number=limits.max_span_attributes, length=limits.max_span_attribute_length
                ),
                events=self._events,
                links=self._links,
                kind=self._kind,
                status=self._status,
                start_time=self._start_time,
                end_time=time_ns() if end_time is None else end_time,
                instrumentation_scope=origin.scope,
            )
        )

    def get_span_context(self) -> SpanContext:
        """Return the context that child spans need."""
        return self._context

    def is_recording(self) -> bool:
        """Return whether the span has not ended."""
        return not self._ended

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set several attributes, replacing those of the same names."""
        if not self._ended:
            self._attributes.update(attributes)

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Set one attribute."""
        if not self._ended:
            self._attributes[key] = value

    def update_name(self, name: str) -> None:
        """Change the span's name."""
        if not self._ended:
            self._name = name

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event at `timestamp` (nanoseconds since 1970, default now)."""
        if self._ended:
            return
        limits = self._origin.limits
        if not isinstance(self._events, BoundedList):
            self._events = BoundedList(limits.max_events)
        kept = _limit_attributes(
            {**(attributes or {})}, number=limits.max_event_attributes, length=limits.max_attribute_length
        )
        self._events.append(Event(name, kept, timestamp))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link. A link without a valid context, a trace state and attributes is ignored."""
        if self._ended or not (context.is_valid or attributes or context.trace_state):
            return
        limits = self._origin.limits
        if not isinstance(self._links, BoundedList):
            self._links = BoundedList(limits.max_links)
        kept = _limit_attributes(
            {**(attributes or {})}, number=limits.max_link_attributes, length=limits.max_attribute_length
        )
        self._links.append(Link(context, kept))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status. OK is final, and UNSET is ignored. Only ERROR has a description."""
        code = status.status_code if isinstance(status, Status) else status
        if self._ended or code is StatusCode.UNSET or self._status.status_code is StatusCode.OK:
            return
        self._status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add the event `exception`. `attributes` override those derived from the exception."""
        error_class = type(exception)
        given = attributes or {}
        recorded: dict[str, AnyValue] = {
            "exception.type": error_class.__qualname__
            if error_class.__module__ == "builtins"
            else f"{error_class.__module__}.{error_class.__qualname__}",
            "exception.message": str(exception),
            "exception.stacktrace": given.get("exception.stacktrace") or "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
            **given,
        }
        self.add_event("exception", recorded, timestamp)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            if self._record_exception:
                self.record_exception(error, escaped=True)
            if self._set_status_on_exception:
                self.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
        self.end()


def _limit_attributes(attributes: dict[str, AnyValue], *, number: int | None, length: int | None) -> Attributes:
    """Return the latest `number` attributes with texts cut to `length` characters. None means no limit."""
    if length is None and (number is None or len(attributes) <= number):
        return attributes
    return BoundedAttributes(number, attributes, max_value_len=length)
