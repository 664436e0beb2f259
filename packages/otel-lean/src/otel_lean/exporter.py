"""The way out of ended spans: the official exporter's, from the connection to the retries, with our encoder."""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_lean.encoder import encoded


class SpanExporter(OTLPSpanExporter):
    """OTLP/HTTP, protobuf, with what `OTEL_EXPORTER_OTLP_*` says of headers, certificates and compression."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; blocks for at most the exporter's timeout."""
        if self._shutdown:
            return SpanExportResult.FAILURE
        sent = self._client.export(encoded(spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE
