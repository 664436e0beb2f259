"""A tap on the way of telemetry: notes the names of what passes by OTLP/HTTP, and hands it on as it is."""

import copy
import gzip
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Names = dict[str, set[str]]
_SECONDS = 10


@dataclass
class Passed:
    """What has passed so far: names, each with its attributes' names; `resource` has those of every resource.

    `with_traces` are the metrics that came with a trace in which something was recorded, an exemplar. Of the lines only
    our own: those of libraries name their logger.
    """

    spans: Names = field(default_factory=lambda: defaultdict(set))
    span_events: Names = field(default_factory=lambda: defaultdict(set))
    metrics: Names = field(default_factory=lambda: defaultdict(set))
    lines: Names = field(default_factory=lambda: defaultdict(set))
    resource: set[str] = field(default_factory=set)
    with_traces: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, path: str, body: bytes) -> None:
        """Take the names out of one export."""
        with self._lock:
            {"/v1/traces": self._traces, "/v1/metrics": self._metrics, "/v1/logs": self._logs}[path](body)

    def so_far(self) -> "Passed":
        """A copy that stands still."""
        with self._lock:
            names = (self.spans, self.span_events, self.metrics, self.lines, self.resource, self.with_traces)
            return Passed(*copy.deepcopy(names))

    def _traces(self, body: bytes) -> None:
        for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource |= _names(of_process.resource)
            for span in (span for scope in of_process.scope_spans for span in scope.spans):
                self.spans[span.name] |= _names(span)
                for event in span.events:
                    self.span_events[event.name] |= _names(event)

    def _metrics(self, body: bytes) -> None:
        for of_process in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.resource |= _names(of_process.resource)
            for metric in (metric for scope in of_process.scope_metrics for metric in scope.metrics):
                points = getattr(metric, metric.WhichOneof("data") or "gauge").data_points
                self.metrics[metric.name] |= {name for point in points for name in _names(point)}
                if any(exemplar.trace_id for point in points for exemplar in point.exemplars):
                    self.with_traces.add(metric.name)

    def _logs(self, body: bytes) -> None:
        for of_process in ExportLogsServiceRequest.FromString(body).resource_logs:
            self.resource |= _names(of_process.resource)
            for line in (line for scope in of_process.scope_logs for line in scope.log_records):
                if "logger" not in _names(line):
                    self.lines[line.body.string_value] |= _names(line)


def _names(described: Any) -> set[str]:
    return {attribute.key for attribute in described.attributes}


@contextmanager
def tapped(port: int) -> Iterator[tuple[str, Passed]]:
    """An address to export to while the block runs, and what has passed; it goes on to `port` of this machine."""
    passed = Passed()

    class Tap(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # an exporter that ends cuts the connection it keeps
                super().handle()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = _handed_on(f"http://127.0.0.1:{port}{self.path}", dict(self.headers), body)
            passed.note(self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tap)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", passed
    finally:
        server.shutdown()
        server.server_close()


def _handed_on(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """The answer of who it is meant for; 503, so that the exporter tries again, where there is none."""
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - likewise
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 503, b""
