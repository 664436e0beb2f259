"""The spans a test caused, as they leave the process's provider."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.settings import ServiceSettings
from shared.telemetry import tracer_provider
from shared.tracing import tracer_of


class Spans:
    """Finished spans in the order they ended."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def finished(self) -> tuple[ReadableSpan, ...]:
        """Everything finished since the test began or since `clear`."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """Those with exactly this name."""
        return [span for span in self.finished() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only span of this name; raises `AssertionError` listing the names there are."""
        found = self.named(name)
        if len(found) != 1:
            names = sorted(span.name for span in self.finished())
            raise AssertionError(f"expected one span {name!r}, found {len(found)} among {names}")
        return found[0]

    def clear(self) -> None:
        """Forget what finished so far."""
        self._exporter.clear()


def told(span: ReadableSpan) -> list[str]:
    """What went well within a span, in order: `SELECT account`, `GET /internal/users/{user_id}`."""
    return [event.name for event in span.events]


_exporter: InMemorySpanExporter | None = None


def _session_exporter() -> InMemorySpanExporter:
    """The process's one exporter: OpenTelemetry allows setting the global provider only once."""
    global _exporter  # noqa: PLW0603 - as global as the provider it listens to
    if _exporter is None:
        if isinstance(tracer_of(__name__), trace.ProxyTracer):  # no provider is set yet
            trace.set_tracer_provider(tracer_provider(ServiceSettings()))
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        _exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(_exporter))
    return _exporter


@pytest.fixture
def spans() -> Iterator[Spans]:
    """The spans finished during this test, over the global tracer provider."""
    exporter = _session_exporter()
    exporter.clear()
    yield Spans(exporter)
    exporter.clear()
