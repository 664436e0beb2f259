"""The exporter with a real receiver, and its environment variables."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_lean import OTLPSpanExporter
from testkit.apps import free_port, serve

SPANS = [
    ReadableSpan("example", context=SpanContext(1, 2, is_remote=False), resource=Resource({}), start_time=1, end_time=2)
]


class Receiver:
    """A collector that records each request. It responds with `statuses` in order, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def receive(self, request: Request) -> Response:
        self.requests.append((request.url.path, dict(request.headers), await request.body()))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def url(receiver: Receiver) -> AsyncIterator[str]:
    async with serve(Starlette(routes=[Route("/{path:path}", receiver.receive, methods=["POST"])])) as url:
        yield url


async def export() -> SpanExportResult:
    """Export SPANS with a new exporter, in a thread as the batch processor does."""
    exporter = OTLPSpanExporter()
    try:
        return await asyncio.to_thread(exporter.export, SPANS)
    finally:
        exporter.shutdown()


class TestExport:
    async def test_spans_are_sent_to_the_endpoint_of_all_signals(
        self, receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{url}/otlp/")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret%20one,tenant=hopline")
        assert await export() is SpanExportResult.SUCCESS
        [(path, headers, body)] = receiver.requests
        assert path == "/otlp/v1/traces"
        assert headers["content-type"] == "application/x-protobuf"
        assert (headers["api-key"], headers["tenant"]) == ("secret one", "hopline")
        [sent] = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
        assert sent.name == "example"

    async def test_variables_of_traces_take_precedence(
        self, receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}/elsewhere")
        assert await export() is SpanExportResult.SUCCESS
        assert [path for path, _, _ in receiver.requests] == ["/elsewhere"]

    @pytest.mark.parametrize(("compression", "decompress"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
    async def test_spans_are_compressed_when_the_variable_is_set(
        self,
        receiver: Receiver,
        url: str,
        compression: str,
        decompress: Callable[[Any], bytes],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        assert await export() is SpanExportResult.SUCCESS
        [(_, headers, body)] = receiver.requests
        assert headers["content-encoding"] == compression
        assert ExportTraceServiceRequest.FromString(decompress(body)).resource_spans

    @pytest.mark.parametrize("variable", [("TIMEOUT", "2s"), ("COMPRESSION", "zstd")])
    async def test_default_is_used_with_a_warning_when_a_variable_is_invalid(
        self,
        receiver: Receiver,
        url: str,
        variable: tuple[str, str],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        name, value = variable
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
        assert await export() is SpanExportResult.SUCCESS
        assert "content-encoding" not in receiver.requests[0][1]
        assert f"Ignored OTLP {name.lower()} '{value}'. Expected" in caplog.text

    async def test_export_is_repeated_when_the_failure_is_transient(
        self, receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        receiver.statuses = [503]
        assert await export() is SpanExportResult.SUCCESS
        assert len(receiver.requests) == 2

    @pytest.mark.parametrize("status", [400, 401, 404, 500])
    async def test_export_is_not_repeated_when_it_is_rejected(
        self, receiver: Receiver, url: str, status: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        receiver.statuses = [status]
        assert await export() is SpanExportResult.FAILURE
        assert len(receiver.requests) == 1

    async def test_export_fails_when_no_collector_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
        assert await export() is SpanExportResult.FAILURE

    async def test_spans_are_not_sent_when_the_exporter_is_shut_down(
        self, receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        exporter = OTLPSpanExporter()
        exporter.shutdown()
        assert await asyncio.to_thread(exporter.export, SPANS) is SpanExportResult.FAILURE
        assert not receiver.requests
