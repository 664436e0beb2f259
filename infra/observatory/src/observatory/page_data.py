"""What the pages need beyond the backends' own APIs, below /observatory on Jaeger's port."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from observatory import loki_labels
from observatory.logs import LogStore, Record
from observatory.responses import JsonResponse
from observatory.trace_search import TraceQuery
from observatory.traces import Span, TraceStore

Json: TypeAlias = "dict[str, Any]"


class PageData:
    """Trace summaries, a trace's log lines, and how full the stores are."""

    def __init__(self, *, traces: TraceStore, logs: LogStore, contents: Callable[[], Json]) -> None:
        self._traces = traces
        self._logs = logs
        self._contents = contents

    def routes(self) -> list[Route]:
        """Return the three endpoints."""
        return [
            Route("/observatory/traces", self.summaries),
            Route("/observatory/traces/{trace_id}/logs", self.log_lines),
            Route("/observatory/contents", self.contents),
        ]

    async def summaries(self, request: Request) -> Response:
        """List the traces that fit Jaeger's search parameters; here the service may be left out."""
        query = TraceQuery.parse(request.query_params)
        return JsonResponse({"traces": [_summary(spans) for spans in query.find(self._traces)]})

    async def log_lines(self, request: Request) -> Response:
        """List `{time_us, span_id, service, level, line, attributes}` of one trace by time."""
        trace_id = request.path_params["trace_id"]
        lines = [_line(record) for record in self._logs if record.trace_id == trace_id]
        return JsonResponse({"lines": sorted(lines, key=lambda line: line["time_us"])})

    async def contents(self, _request: Request) -> Response:
        """Tell how much of everything is kept, and how much could be."""
        return JsonResponse(self._contents())


def _summary(spans: Sequence[Span]) -> Json:
    ids = {span.span_id for span in spans}
    root = next((span for span in spans if not span.parent_id), None) or next(
        (span for span in spans if span.parent_id not in ids), spans[0]
    )
    start_ns = min(span.start_ns for span in spans)
    end_ns = max(span.end_ns for span in spans)
    return {
        "trace_id": root.trace_id,
        "service": root.service,
        "operation": root.operation,
        "start_us": start_ns // 1_000,
        "duration_us": max(0, end_ns - start_ns) // 1_000,
        "spans": len(spans),
        "errors": sum(span.failed for span in spans),
        "services": dict(Counter(span.service for span in spans)),
    }


def _line(record: Record) -> Json:
    message = LogRecord.FromString(record.raw)
    return {
        "time_us": record.time_ns // 1_000,
        "span_id": record.span_id,
        "service": record.resource.service,
        "level": loki_labels.level(message),
        "line": loki_labels.line(message),
        "attributes": loki_labels.own_labels(message),
    }
