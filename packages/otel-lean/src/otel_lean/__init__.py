"""A TracerProvider for OpenTelemetry whose spans and OTLP encoding cost a fraction of the SDK's.

Read `tracer` first: it has the provider and its tracers. `span` has their spans. `encoder` and `wire` serialise ended
spans, and `exporter` sends them.
"""

from otel_lean.exporter import OTLPSpanExporter
from otel_lean.tracer import LeanTracerProvider

__all__ = ["LeanTracerProvider", "OTLPSpanExporter"]
