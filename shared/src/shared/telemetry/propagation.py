"""Limits on trace context and baggage supplied by clients. Both are forwarded to the last hop."""

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceState

from shared.telemetry.spans import SYNTHETIC

MAX_VALUE_BYTES = 40
"""Maximum size of a baggage member's value, decoded and in UTF-8; Hopline's own is `true`."""

MAX_TRACESTATE_BYTES = 512
"""The minimum size that W3C Trace Context requires implementations to propagate (§3.3.1.5)."""

_TRACEPARENT = "traceparent"
_MEMBERS = frozenset((SYNTHETIC,))


class UntrustedContextPropagator(CompositePropagator):
    """A composite of propagators that removes unknown baggage and excess tracestate members when it extracts."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Read the context from `carrier` and apply the limits.

        Several `traceparent` headers are invalid, and an invalid one begins a new trace (W3C Trace Context §3.2, §4.3).
        """
        context = context or Context()
        extracted = super().extract(carrier, context, getter)
        if len(getter.get(carrier, _TRACEPARENT) or ()) > 1:
            extracted = trace.set_span_in_context(trace.get_current_span(context), extracted)
        for name, value in baggage.get_all(extracted).items():
            if name not in _MEMBERS or len(str(value).encode()) > MAX_VALUE_BYTES:
                extracted = baggage.remove_baggage(name, extracted)
        remote = trace.get_current_span(extracted).get_span_context()
        if len(remote.trace_state.to_header()) > MAX_TRACESTATE_BYTES:
            kept = _limit_tracestate(remote.trace_state)
            trimmed = SpanContext(remote.trace_id, remote.span_id, remote.is_remote, remote.trace_flags, kept)
            extracted = trace.set_span_in_context(NonRecordingSpan(trimmed), extracted)
        return extracted


def _limit_tracestate(state: TraceState) -> TraceState:
    """Return the first members that fit into the limit. The first member is the most recent one."""
    members, size = [], -1  # -1, because the first member has no comma before it
    for key, value in state.items():
        size += len(key) + len(value) + 2
        if size > MAX_TRACESTATE_BYTES:
            break
        members.append((key, value))
    return TraceState(members)
