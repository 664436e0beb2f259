"""A TracerProvider for OpenTelemetry whose spans and OTLP encoding cost a fraction of the SDK's.

`tracer` has the provider, `span` what its tracers start, `encoder` and `wire` the bytes of OTLP, `exporter` sends them.
"""

from otel_lean.exporter import OTLPSpanExporter
from otel_lean.tracer import LeanTracerProvider

__all__ = ["LeanTracerProvider", "OTLPSpanExporter"]
