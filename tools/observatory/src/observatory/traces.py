"""The trace store: a limited number of spans by trace. The trace whose last span is the oldest is evicted first."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from observatory.attributes import Resource, Scope
from observatory.roles import Role, role_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One serialised span, with the fields that searches need. Times are nanoseconds since the epoch.

    The serialised message has a third of the size of its JSON. It is decoded only when a query reads it.
    """

    trace_id: str
    span_id: str
    parent_id: str  # "" for a root
    operation: str
    start_ns: int
    end_ns: int
    failed: bool
    resource: Resource
    scope: Scope
    raw: bytes
    _role: Role | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def service(self) -> str:
        """The service.name of its process."""
        return self.resource.service

    @property
    def role(self) -> Role:
        """Its role in communication between processes, decoded from the message on first use."""
        role = self._role
        if role is None:
            role = role_of(SpanMessage.FromString(self.raw))
            object.__setattr__(self, "_role", role)
        return role

    @property
    def duration_ns(self) -> int:
        """Its duration; 0 if the clock went backwards."""
        return max(0, self.end_ns - self.start_ns)


class TraceStore:
    """Keeps at most `max_traces` traces, `max_spans` spans and `max_bytes` of span messages in total.

    The age of a trace is the age of its latest span, so that growing traces are kept longer than complete ones. A span
    that was sent twice, by an exporter that retried, is stored once.
    """

    def __init__(self, *, max_traces: int, max_spans: int, max_bytes: int) -> None:
        self._max_traces = max_traces
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._traces: OrderedDict[str, dict[str, Span]] = OrderedDict()
        self.span_count = 0
        self.byte_count = 0

    def __len__(self) -> int:
        return len(self._traces)

    def add(self, span: Span) -> None:
        """Add the span, and evict the oldest traces above the limits."""
        spans = self._traces.setdefault(span.trace_id, {})
        self._traces.move_to_end(span.trace_id)
        repeated = spans.pop(span.span_id, None)
        if repeated is not None:
            self._subtract(repeated)
        spans[span.span_id] = span
        self.span_count += 1
        self.byte_count += len(span.raw)
        self._evict()

    def get(self, trace_id: str) -> list[Span]:
        """Return the trace's spans by start time; empty for an unknown trace."""
        return sorted(self._traces.get(trace_id, {}).values(), key=lambda span: span.start_ns)

    def newest_first(self) -> Iterator[list[Span]]:
        """Yield all traces, the one with the latest span first."""
        for trace_id in reversed(self._traces):
            yield self.get(trace_id)

    def spans(self) -> Iterator[Span]:
        """Yield all spans in no particular order."""
        for spans in self._traces.values():
            yield from spans.values()

    def _evict(self) -> None:
        while len(self._traces) > self._max_traces or (len(self._traces) > 1 and self._is_full()):
            _, spans = self._traces.popitem(last=False)
            for span in spans.values():
                self._subtract(span)
        while self._traces and self._is_full():  # a single trace that is too large loses its oldest spans
            trace_id, spans = next(iter(self._traces.items()))
            self._subtract(spans.pop(next(iter(spans))))
            if not spans:
                del self._traces[trace_id]

    def _is_full(self) -> bool:
        return self.span_count > self._max_spans or self.byte_count > self._max_bytes

    def _subtract(self, span: Span) -> None:
        self.span_count -= 1
        self.byte_count -= len(span.raw)
