"""The tracer provider: it extends the SDK's provider, and its tracers start the spans of this package."""

from collections.abc import Sequence
from time import time_ns

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes

from otel_lean.span import Origin, Span

_FLAGS = tuple(TraceFlags(bits) for bits in range(4))
_SAMPLED, _RANDOM = TraceFlags.SAMPLED, TraceFlags.RANDOM_TRACE_ID

_LOCAL_PARENT_DECIDES = "localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}"
_PARENT_DECIDES = "remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler," + _LOCAL_PARENT_DECIDES
"""Suffixes of the descriptions of samplers that follow the decision of the parent: of a local one, or of any.

The tracer does not call such a sampler for a span with such a parent.
"""


class LeanTracerProvider(sdk.TracerProvider):
    """Extends the SDK's provider with tracers whose spans cost about a third.

    Resource, sampler, ids, limits and processors are the SDK's. Processors receive ended spans only: `on_start` is not
    called.
    """

    def __init__(
        self,
        *,
        sampler: Sampler | None = None,
        resource: Resource | None = None,
        shutdown_on_exit: bool = True,
        id_generator: IdGenerator | None = None,
    ) -> None:
        self._limits = SpanLimits()
        self._processors = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
        super().__init__(
            resource=resource,
            sampler=sampler,
            id_generator=id_generator,
            span_limits=self._limits,
            active_span_processor=self._processors,
            shutdown_on_exit=shutdown_on_exit,
        )

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Return a tracer. If `OTEL_SDK_DISABLED` is true, it records nothing."""
        name, version = instrumenting_module_name, instrumenting_library_version or ""
        sdk_tracer = super().get_tracer(name, version, schema_url, attributes)
        if not isinstance(sdk_tracer, sdk.Tracer):
            return sdk_tracer
        scope = InstrumentationScope(name, version, schema_url, attributes)
        return Tracer(
            Origin(provider=self, scope=scope, limits=self._limits, on_end=self._processors.on_end),
        )


class Tracer(trace.Tracer):
    """Implements OpenTelemetry's tracer for one instrumentation scope."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._sampler = origin.provider.sampler
        self._ids = origin.provider.id_generator
        description = self._sampler.get_description()
        self._local_parent_decides = description.endswith(_LOCAL_PARENT_DECIDES)
        self._remote_parent_decides = description.endswith(_PARENT_DECIDES)

    def start_span(  # noqa: PLR0917 - the API's order
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Start a span at `start_time` (nanoseconds since 1970, default now), below the current span of `context`."""
        parent: SpanContext | None = trace.get_current_span(context).get_span_context()
        trace_state: TraceState | None
        trace_id, _span_id, remote, flags, trace_state, valid = parent or INVALID_SPAN_CONTEXT
        if valid:
            random = flags & _RANDOM
        else:
            parent, trace_id = None, self._ids.generate_trace_id()
            random = _RANDOM if self._ids.is_trace_id_random() else 0
        if parent is not None and (self._remote_parent_decides if remote else self._local_parent_decides):
            sampled = flags & _SAMPLED
            recording = bool(sampled)
        else:
            decided = self._sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
            sampled = _SAMPLED if decided.decision is Decision.RECORD_AND_SAMPLE else 0
            recording, trace_state = decided.decision is not Decision.DROP, decided.trace_state
            attributes = decided.attributes
        span_context = SpanContext(trace_id, self._ids.generate_span_id(), False, _FLAGS[sampled | random], trace_state)
        if not recording:
            return NonRecordingSpan(span_context)
        return Span(
            name,
            origin=self._origin,
            context=span_context,
            parent=parent,
            kind=kind,
            attributes={**attributes} if attributes else {},
            links=links or (),
            start_time=time_ns() if start_time is None else start_time,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        )

    start_as_current_span = sdk.Tracer.start_as_current_span  # it calls only start_span and the API's use_span
