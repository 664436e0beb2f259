"""A proxy for telemetry: it records the names in OTLP/HTTP exports, and forwards the exports unchanged."""

import gzip
import json
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Names = dict[str, set[str]]
_TIMEOUT_S = 10


@dataclass
class TappedTelemetry:
    """Recorded names, each with the names of its attributes.

    `resource` has the names of the attributes of all resources. `with_traces` has the metrics with an exemplar.
    `log_events` does not contain the log records of libraries, which have the attribute `logger`. `page_spans` and
    `page_metrics` are those of the browser application, which the gateway forwards as JSON.
    """

    spans: Names = field(default_factory=lambda: defaultdict(set))
    span_events: Names = field(default_factory=lambda: defaultdict(set))
    metrics: Names = field(default_factory=lambda: defaultdict(set))
    log_events: Names = field(default_factory=lambda: defaultdict(set))
    resource: set[str] = field(default_factory=set)
    with_traces: set[str] = field(default_factory=set)
    page_spans: Names = field(default_factory=lambda: defaultdict(set))
    page_metrics: Names = field(default_factory=lambda: defaultdict(set))
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def record(self, path: str, body: bytes) -> None:
        """Record the names of one export."""
        with self._lock:
            {"/v1/traces": self._traces, "/v1/metrics": self._metrics, "/v1/logs": self._logs}[path](body)

    def record_page(self, body: bytes) -> None:
        """Record the names of one export of a page (OTLP/HTTP JSON)."""
        with self._lock:
            export = json.loads(body)
            for scope in (scope for resource in export.get("resourceSpans", ()) for scope in resource["scopeSpans"]):
                for span in scope["spans"]:
                    self.page_spans[span["name"]] |= _json_attributes(span)
            for scope in (
                scope for resource in export.get("resourceMetrics", ()) for scope in resource["scopeMetrics"]
            ):
                for metric in scope["metrics"]:
                    points = metric["gauge"]["dataPoints"]
                    self.page_metrics[metric["name"]] |= {name for point in points for name in _json_attributes(point)}

    def copy(self) -> "TappedTelemetry":
        """Return a copy, which does not change."""
        with self._lock:
            names = (self.spans, self.span_events, self.metrics, self.log_events, self.resource, self.with_traces)
            return TappedTelemetry(*deepcopy((*names, self.page_spans, self.page_metrics)))

    def _traces(self, body: bytes) -> None:
        for process in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource |= _attributes(process.resource)
            for span in (span for scope in process.scope_spans for span in scope.spans):
                self.spans[span.name] |= _attributes(span)
                for event in span.events:
                    self.span_events[event.name] |= _attributes(event)

    def _metrics(self, body: bytes) -> None:
        for process in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.resource |= _attributes(process.resource)
            for metric in (metric for scope in process.scope_metrics for metric in scope.metrics):
                points = getattr(metric, metric.WhichOneof("data") or "gauge").data_points
                self.metrics[metric.name] |= {name for point in points for name in _attributes(point)}
                if any(exemplar.trace_id for point in points for exemplar in point.exemplars):
                    self.with_traces.add(metric.name)

    def _logs(self, body: bytes) -> None:
        for process in ExportLogsServiceRequest.FromString(body).resource_logs:
            self.resource |= _attributes(process.resource)
            for record in (record for scope in process.scope_logs for record in scope.log_records):
                if "logger" not in _attributes(record):
                    self.log_events[record.body.string_value] |= _attributes(record)


def _attributes(item: Any) -> set[str]:
    """Return the names of the attributes of a protobuf message."""
    return {attribute.key for attribute in item.attributes}


def _json_attributes(item: dict[str, Any]) -> set[str]:
    """Return the names of the attributes of a parsed JSON object."""
    return {attribute["key"] for attribute in item["attributes"]}


@contextmanager
def open_tap(port: int) -> Iterator[tuple[str, TappedTelemetry]]:
    """Listen for exports within the block, and forward them to `port` of this machine.

    Yields the URL to which processes export, and the recorded names.
    """
    telemetry = TappedTelemetry()

    class Tap(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # the exporting process has ended
                super().handle()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, response = _forward(f"http://127.0.0.1:{port}{self.path}", dict(self.headers), body)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.headers.get("Content-Type") == "application/json":
                telemetry.record_page(body)
            else:
                telemetry.record(self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(response)))
            self.end_headers()
            self.wfile.write(response)

        def log_message(self, *_: object) -> None:
            """Write no log record."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tap)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", telemetry
    finally:
        server.shutdown()
        server.server_close()


def _forward(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Return the status and body of the receiver's response. The status is 503, for a retry, if it does not respond."""
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - likewise
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 503, b""
