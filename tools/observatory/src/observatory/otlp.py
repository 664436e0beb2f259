"""OTLP/HTTP receiver, port 4318: POST /v1/traces, /v1/logs, /v1/metrics.

Spans, log records and the points of gauges, sums and histograms are stored.
Responses follow the specification: 200 with a partial success if some spans are valid, 400 with a google.rpc.Status if
no span is valid.
"""

import time
from collections.abc import Iterable

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from observatory.attributes import resource_from, scope_of
from observatory.logs import LogStore, Record
from observatory.otlp_body import JSON, PROTOBUF, RejectedError, media_type, read_message
from observatory.otlp_metrics import MetricReader
from observatory.traces import Span, TraceStore

_INVALID_ARGUMENT = 3  # google.rpc.Code
_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8


class OtlpReceiver:
    """Stores received spans, log records and metric points."""

    def __init__(self, *, traces: TraceStore, logs: LogStore, metrics: MetricReader, max_request_bytes: int) -> None:
        self._traces = traces
        self._logs = logs
        self._metrics = metrics
        self._max_request_bytes = max_request_bytes

    def routes(self) -> list[Route]:
        """Return the three endpoints."""
        return [
            Route("/v1/traces", self.receive_traces, methods=["POST"]),
            Route("/v1/logs", self.receive_logs, methods=["POST"]),
            Route("/v1/metrics", self.receive_metrics, methods=["POST"]),
        ]

    async def receive_traces(self, request: Request) -> Response:
        """Store the spans that have valid ids."""
        export = await read_message(request, ExportTraceServiceRequest, limit=self._max_request_bytes)
        spans, rejected = _spans(export)
        if rejected and not spans:
            raise RejectedError(400, "no span has a valid trace id and span id")
        for span in spans:
            self._traces.add(span)
        response = ExportTraceServiceResponse()
        if rejected:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = "spans without a valid trace id and span id"
        return _response(request, response)

    async def receive_logs(self, request: Request) -> Response:
        """Store all records."""
        export = await read_message(request, ExportLogsServiceRequest, limit=self._max_request_bytes)
        for record in _records(export):
            self._logs.add(record)
        return _response(request, ExportLogsServiceResponse())

    async def receive_metrics(self, request: Request) -> Response:
        """Store the points of supported types; the response counts the others."""
        export = await read_message(request, ExportMetricsServiceRequest, limit=self._max_request_bytes)
        response = ExportMetricsServiceResponse()
        if rejected := self._metrics.read(export):
            response.partial_success.rejected_data_points = rejected
            response.partial_success.error_message = "dropped points: the metrics page lists the reasons"
        return _response(request, response)


async def reject(request: Request, error: Exception) -> Response:
    """Respond to RejectedError in the encoding of the request."""
    status = error.status if isinstance(error, RejectedError) else 500
    return _response(request, Status(code=_INVALID_ARGUMENT, message=str(error)), status)


def _spans(export: ExportTraceServiceRequest) -> tuple[list[Span], int]:
    spans, rejected = [], 0
    for resource_spans in export.resource_spans:
        resource = resource_from(resource_spans.resource.SerializeToString())
        for scope_spans in resource_spans.scope_spans:
            scope = scope_of(scope_spans.scope.name, scope_spans.scope.version)
            for message in scope_spans.spans:
                if not (_is_id(message.trace_id, _TRACE_ID_BYTES) and _is_id(message.span_id, _SPAN_ID_BYTES)):
                    rejected += 1
                    continue
                span = Span(
                    trace_id=message.trace_id.hex(),
                    span_id=message.span_id.hex(),
                    parent_id=message.parent_span_id.hex() if any(message.parent_span_id) else "",
                    operation=message.name,
                    start_ns=message.start_time_unix_nano,
                    end_ns=message.end_time_unix_nano,
                    failed=message.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    resource=resource,
                    scope=scope,
                    raw=message.SerializeToString(),
                )
                spans.append(span)
    return spans, rejected


def _records(export: ExportLogsServiceRequest) -> Iterable[Record]:
    arrived_ns = time.time_ns()
    for resource_logs in export.resource_logs:
        resource = resource_from(resource_logs.resource.SerializeToString())
        for scope_logs in resource_logs.scope_logs:
            scope = scope_of(scope_logs.scope.name, scope_logs.scope.version)
            for message in scope_logs.log_records:
                yield Record(
                    time_ns=message.time_unix_nano or message.observed_time_unix_nano or arrived_ns,
                    trace_id=message.trace_id.hex() if any(message.trace_id) else "",
                    span_id=message.span_id.hex() if any(message.span_id) else "",
                    resource=resource,
                    scope=scope,
                    raw=message.SerializeToString(),
                )


def _is_id(value: bytes, length: int) -> bool:
    return len(value) == length and any(value)


def _response(request: Request, message: Message, status: int = 200) -> Response:
    if media_type(request) == JSON:
        return Response(MessageToJson(message, indent=None), status, media_type=JSON)
    return Response(message.SerializeToString(), status, media_type=PROTOBUF)
