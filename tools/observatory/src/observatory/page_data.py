"""Data for the pages that the APIs of the backends do not provide, below /observatory on Jaeger's port."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from observatory import loki_labels, mime
from observatory.jaeger import parse_trace_id
from observatory.logs import LogStore, Record
from observatory.mailbox import Mail, Mailbox
from observatory.responses import JsonResponse
from observatory.service_map import service_map
from observatory.trace_search import TraceQuery, duration_ns
from observatory.traces import Span, TraceStore

Json: TypeAlias = "dict[str, Any]"

_TRACE_HEADER = "X-Trace-Id"  # header of Hopline's emails


class PageData:
    """Trace summaries, log records and emails of a trace, the service map, and the content of the stores."""

    def __init__(self, *, traces: TraceStore, logs: LogStore, mailbox: Mailbox, contents: Callable[[], Json]) -> None:
        self._traces = traces
        self._logs = logs
        self._mailbox = mailbox
        self._contents = contents

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("/observatory/traces", self.summaries),
            Route("/observatory/traces/{trace_id}/logs", self.log_lines),
            Route("/observatory/traces/{trace_id}/mails", self.mails),
            Route("/observatory/map", self.map),
            Route("/observatory/contents", self.contents),
        ]

    async def summaries(self, request: Request) -> Response:
        """List the traces that match Jaeger's search parameters. Unlike in Jaeger, the service is optional."""
        query = TraceQuery.parse(request.query_params)
        return JsonResponse({"traces": [_summary(spans) for spans in query.find(self._traces)]})

    async def log_lines(self, request: Request) -> Response:
        """List the log records of one trace by time: `{time_us, span_id, service, level, line, attributes}`."""
        trace_id = parse_trace_id(request.path_params["trace_id"])
        lines = [_line(record) for record in self._logs if record.trace_id == trace_id]
        return JsonResponse({"lines": sorted(lines, key=lambda line: line["time_us"])})

    async def mails(self, request: Request) -> Response:
        """List the emails with the trace's id in X-Trace-Id, oldest first: `{id, message_id, subject, to}`."""
        trace_id = parse_trace_id(request.path_params["trace_id"])
        found = [_mail(mail) for mail in self._mailbox.newest_first() if _belongs(mail, trace_id)]
        return JsonResponse({"mails": found[::-1]})

    async def map(self, request: Request) -> Response:
        """Return the service map of the last `lookback` (`15m`, `1h`); without it, of all stored spans."""
        return JsonResponse(service_map(self._traces, lookback_ns=duration_ns(request.query_params, "lookback")))

    async def contents(self, _request: Request) -> Response:
        """Return how many traces, spans, records and emails are stored, and the limits."""
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


def _belongs(mail: Mail, trace_id: str) -> bool:
    """Return whether the email's header has the trace's id. Most emails are excluded without parsing them."""
    return trace_id.encode() in mail.raw and mime.header(mime.parse(mail.raw), _TRACE_HEADER).strip() == trace_id


def _mail(mail: Mail) -> Json:
    message = mime.parse(mail.raw)
    return {
        "id": mail.id,
        "message_id": mime.message_id(message),
        "subject": mime.header(message, "Subject"),
        "to": [item["Address"] for item in mime.addresses(message, "To")],
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
