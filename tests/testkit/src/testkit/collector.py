"""An OTLP/HTTP collector that keeps what it is sent, or behaves as badly as one can."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from testkit.apps import serve


class Mood(StrEnum):
    """How it answers."""

    WELL = "well"
    REFUSING = "refusing"
    HANGING = "hanging"
    SLOW = "slow"


SLOW_S = 0.6
"""What a slow one takes for each export: more than the pause between two, a third of what an exporter waits for."""


class Collector:
    """`asked` counts requests of any kind; what arrived is kept in the order of arrival."""

    def __init__(self, *, mood: Mood) -> None:
        self.mood = mood
        self.url = ""
        self.asked = 0
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.logs: list[ExportLogsServiceRequest] = []
        self._released = asyncio.Event()

    @property
    def app(self) -> Starlette:
        """Its three endpoints."""
        return Starlette(routes=[Route("/v1/{signal}", self._receive, methods=["POST"])])

    def spans(self) -> list[Span]:
        """Every span so far."""
        return [
            span
            for export in self.traces
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def lines(self) -> list[LogRecord]:
        """Every log record so far."""
        return [
            record
            for export in self.logs
            for resource in export.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def figures(self) -> Iterator[tuple[dict[str, str], Metric]]:
        """Every metric so far with the attributes of its resource."""
        for export in self.metrics:
            for resource in export.resource_metrics:
                described = {item.key: item.value.string_value for item in resource.resource.attributes}
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield described, metric

    def release(self) -> None:
        """Answer whoever was kept hanging."""
        self._released.set()

    async def _receive(self, request: Request) -> Response:
        self.asked += 1
        body = await request.body()
        match self.mood:
            case Mood.REFUSING:
                return Response(status_code=503)
            case Mood.HANGING:
                await self._released.wait()
            case Mood.SLOW:
                await asyncio.sleep(SLOW_S)
        kept: dict[str, tuple[list[Any], Any]] = {
            "traces": (self.traces, ExportTraceServiceRequest),
            "metrics": (self.metrics, ExportMetricsServiceRequest),
            "logs": (self.logs, ExportLogsServiceRequest),
        }
        exports, kind = kept[request.path_params["signal"]]
        exports.append(kind.FromString(body))
        return Response(status_code=200, media_type="application/x-protobuf")


@asynccontextmanager
async def running_collector(mood: Mood = Mood.WELL) -> AsyncIterator[Collector]:
    """A collector on a free port."""
    collector = Collector(mood=mood)
    async with serve(collector.app) as collector.url:
        try:
            yield collector
        finally:
            collector.release()
