"""An OTLP/HTTP collector that stores the exports it receives, or responds slowly, with errors or not at all."""

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


class CollectorMode(StrEnum):
    """How the collector responds."""

    NORMAL = "normal"
    REJECTING = "rejecting"
    HANGING = "hanging"
    SLOW = "slow"


SLOW_S = 0.6
"""Delay of a slow response: longer than the pause between two exports (0.5 s), shorter than their timeout (2 s)."""


class Collector:
    """Stores exports in the order of their arrival. `requests` counts requests of all signals."""

    def __init__(self, *, mode: CollectorMode) -> None:
        self.mode = mode
        self.url = ""
        self.requests = 0
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.logs: list[ExportLogsServiceRequest] = []
        self._released = asyncio.Event()

    @property
    def app(self) -> Starlette:
        """Return the application with the endpoints of the three signals."""
        return Starlette(routes=[Route("/v1/{signal}", self._receive, methods=["POST"])])

    def spans(self) -> list[Span]:
        """Return all received spans."""
        return [
            span
            for export in self.traces
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def log_records(self) -> list[LogRecord]:
        """Return all received log records."""
        return [
            record
            for export in self.logs
            for resource in export.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def resource_metrics(self) -> Iterator[tuple[dict[str, str], Metric]]:
        """Yield all received metrics, each with the attributes of its resource."""
        for export in self.metrics:
            for resource in export.resource_metrics:
                attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield attributes, metric

    def release(self) -> None:
        """Respond to the requests that are waiting."""
        self._released.set()

    async def _receive(self, request: Request) -> Response:
        self.requests += 1
        body = await request.body()
        match self.mode:
            case CollectorMode.REJECTING:
                return Response(status_code=503)
            case CollectorMode.HANGING:
                await self._released.wait()
            case CollectorMode.SLOW:
                await asyncio.sleep(SLOW_S)
        signals: dict[str, tuple[list[Any], Any]] = {
            "traces": (self.traces, ExportTraceServiceRequest),
            "metrics": (self.metrics, ExportMetricsServiceRequest),
            "logs": (self.logs, ExportLogsServiceRequest),
        }
        exports, message_type = signals[request.path_params["signal"]]
        exports.append(message_type.FromString(body))
        return Response(status_code=200, media_type="application/x-protobuf")


@asynccontextmanager
async def running_collector(mode: CollectorMode = CollectorMode.NORMAL) -> AsyncIterator[Collector]:
    """Run a collector on a free port until the block ends."""
    collector = Collector(mode=mode)
    async with serve(collector.app) as collector.url:
        try:
            yield collector
        finally:
            collector.release()
