"""The finished spans of a test."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.config import ServiceSettings
from shared.telemetry.setup import create_tracer_provider


class Spans:
    """Finished spans in the order of their ends."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def finished(self) -> tuple[ReadableSpan, ...]:
        """Return the spans that ended since the start of the test or the last `clear`."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the finished spans with this name."""
        return [span for span in self.finished() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span with this name; AssertionError with all names if there is not exactly one."""
        found = self.named(name)
        if len(found) != 1:
            names = sorted(span.name for span in self.finished())
            raise AssertionError(f"expected one span {name!r}, found {len(found)} among {names}")
        return found[0]

    def clear(self) -> None:
        """Discard the finished spans."""
        self._exporter.clear()


def event_names(span: ReadableSpan) -> list[str]:
    """Return the names of the span's events in order, such as `SELECT account`."""
    return [event.name for event in span.events]


@pytest.fixture(scope="session", autouse=True)
def tracer_provider() -> TracerProvider:
    """Set the global tracer provider, which can be set only once per process.

    Otherwise the first application that a test opens with an OTLP endpoint would install its exporters for all later
    tests of the process.
    """
    trace.set_tracer_provider(create_tracer_provider(ServiceSettings()))
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    return provider


@pytest.fixture(scope="session")
def span_exporter(tracer_provider: TracerProvider) -> InMemorySpanExporter:
    """Add an exporter to the global tracer provider."""
    exporter = InMemorySpanExporter()
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(span_exporter: InMemorySpanExporter) -> Iterator[Spans]:
    """Return the spans of this test, by the global tracer provider."""
    span_exporter.clear()
    yield Spans(span_exporter)
    span_exporter.clear()
