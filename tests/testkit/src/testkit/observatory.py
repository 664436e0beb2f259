"""A running observatory, and telemetry that is exported to it, for tests of its APIs and pages."""

import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TypeAlias

import httpx
import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Span, format_span_id, format_trace_id

from embedded.ports import PORTS
from shared.validation.port_offset import MAX_PORT_OFFSET
from testkit.apps import TLS
from testkit.stack import OFFSET_STEP, free_offset

_PORTS = [port for port in PORTS.values() if port.process == "observatory"]
_OFFSETS = range(520 * OFFSET_STEP, MAX_PORT_OFFSET, OFFSET_STEP)
"""These offsets are larger than the offsets of stacks, so an observatory and a stack do not take each other's ports."""

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 30
_TIMEOUT_S = 30
_ONE_DAY_MS = 86_400_000
"""Interval of exports. No test takes so long, so metrics are exported only on demand."""


@dataclass(frozen=True)
class Observatory:
    """A started process. Its ports are the default ports plus `offset`."""

    process: subprocess.Popen[str]
    offset: int

    def port(self, name: str) -> int:
        """Return the port of otlp, jaeger, loki, prometheus, mailpit or smtp."""
        return PORTS[name].number + self.offset

    def url(self, name: str, path: str = "") -> str:
        """Return the URL of a path of one of the servers."""
        return f"http://127.0.0.1:{self.port(name)}{path}"

    def get(self, name: str, path: str, **params: str | float) -> httpx.Response:
        """Send a GET request to one of the servers."""
        return httpx.get(self.url(name, path), params=params or None, timeout=_TIMEOUT_S, verify=TLS)

    def send_email(self, *messages: EmailMessage | bytes, recipients: Sequence[str] = ()) -> None:
        """Send these emails over one SMTP connection, by default to the recipients in their headers.

        Bytes are sent unchanged, by default to d@e.f. Errors of smtplib propagate.
        """
        with smtplib.SMTP("127.0.0.1", self.port("smtp"), timeout=_TIMEOUT_S) as client:
            for message in messages:
                if isinstance(message, EmailMessage):
                    client.send_message(message, to_addrs=recipients or None)
                else:
                    client.sendmail("a@b.c", recipients or ["d@e.f"], message)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal `number` if the process is running, wait for its end, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=_STOP_TIMEOUT_S)


def trace_id_of(span: Span) -> str:
    """Return the id of the span's trace, as 32 hexadecimal digits."""
    return format_trace_id(span.get_span_context().trace_id)


def span_id_of(span: Span) -> str:
    """Return the id of the span, as 16 hexadecimal digits."""
    return format_span_id(span.get_span_context().span_id)


class Telemetry:
    """The SDK of one service. It exports each span and log record immediately, not in batches."""

    def __init__(self, observatory: Observatory, service: str) -> None:
        resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": "hopline",
                "deployment.environment.name": "test",
                "host.name": "host-1",
            }
        )
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(
            SimpleSpanProcessor(OTLPSpanExporter(endpoint=observatory.url("otlp", "/v1/traces")))
        )
        self._logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self._logs.add_log_record_processor(
            SimpleLogRecordProcessor(OTLPLogExporter(endpoint=observatory.url("otlp", "/v1/logs")))
        )
        self.tracer = self._traces.get_tracer("shop.tracing", "1.2.3")
        self._logger = self._logs.get_logger("shop.logging")

    def log(self, body: str, *, time_ns: int | None = None, **attributes: str | int) -> None:
        """Emit one log record with the level WARNING in the context of the current span."""
        record = LogRecord(
            timestamp=time_ns or time.time_ns(),
            context=get_current(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARNING",
            body=body,
            attributes=attributes,
        )
        self._logger.emit(record)

    def close(self) -> None:
        """Close the connections of the exporters."""
        self._traces.shutdown()
        self._logs.shutdown()


class ExportedMetrics:
    """The metrics of one process of a service, exported on demand. With `delta`, counters are sent as increments."""

    def __init__(
        self,
        observatory: Observatory,
        service: str,
        *,
        instance: str = "",
        delta: bool = False,
        views: Sequence[View] = (),
    ) -> None:
        temporality = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
        exporter = OTLPMetricExporter(
            endpoint=observatory.url("otlp", "/v1/metrics"),
            preferred_temporality=dict.fromkeys((Counter, Histogram, UpDownCounter), temporality),
        )
        resource = Resource.create(
            {"service.name": service, "service.namespace": "hopline", "service.instance.id": instance or service}
        )
        reader = PeriodicExportingMetricReader(exporter, _ONE_DAY_MS)
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False, views=views)
        self.meter = self._provider.get_meter("shop.metrics")
        self._is_closed = False

    def export(self) -> None:
        """Export the current points of all instruments."""
        assert self._provider.force_flush()

    def close(self) -> None:
        """Export once more, and close the exporter's connection. Further calls have no effect."""
        if not self._is_closed:
            self._is_closed = True
            self._provider.shutdown()


_FAILING_SERVICE = """
import structlog
from opentelemetry import trace
from shared.config import ServiceSettings
from shared.logging.setup import configure_logging
from shared.telemetry.setup import configure_telemetry, flush_telemetry

settings = ServiceSettings()
configure_logging(service="orders", level=settings.log_level)
configure_telemetry(service="orders", settings=settings)
with trace.get_tracer("orders").start_as_current_span("place order") as span:
    try:
        int("one")
    except ValueError:
        structlog.get_logger("orders").exception("order_failed", order_id="o-1")
print(format(span.get_span_context().trace_id, "032x"))
flush_telemetry()
"""


def export_exception(observatory: Observatory) -> str:
    """Log an exception in a span as a service does, export both, and return the trace id.

    A separate process uses `shared.logging` and `shared.telemetry`, so the record has the fields of a service.
    """
    done = subprocess.run(  # noqa: S603 - a constant program
        [sys.executable, "-c", _FAILING_SERVICE],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": observatory.url("otlp"), "OTEL_METRICS_EXPORTER": "none"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return done.stdout.splitlines()[-1]


CreateTelemetry: TypeAlias = Callable[[Observatory, str], Telemetry]


@contextmanager
def running_observatory(**environment: str) -> Iterator[Observatory]:
    """Run `python -m observatory` on free ports until the block ends.

    Raises:
        RuntimeError: The process ended or was not ready in time. The message contains its output.
        AssertionError: The process has written the stack trace of an exception.
    """
    observatory = _start(environment)
    assert observatory.process.stderr
    with observatory.process.stderr as errors:
        try:
            yield observatory
        finally:
            observatory.stop()
        written = errors.read()
    assert "Traceback" not in written, written


def _start(environment: dict[str, str]) -> Observatory:
    """Start the process and wait until it is ready. Try another offset if another program took a port meanwhile."""
    while True:
        observatory = _start_process(free_offset(_PORTS, offsets=_OFFSETS), environment)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while observatory.process.poll() is None and time.monotonic() < deadline:
            try:
                if observatory.get("loki", "/ready").is_success:
                    return observatory
            except httpx.TransportError:
                time.sleep(0.02)
        observatory.stop(signal.SIGKILL)
        reason = observatory.process.communicate()[1]
        if "cannot listen" not in reason:
            raise RuntimeError(f"the observatory did not start: {reason}")


def _start_process(offset: int, environment: dict[str, str]) -> Observatory:
    process = subprocess.Popen(
        [sys.executable, "-m", "observatory"],
        env={**os.environ, "HOPLINE_PORT_OFFSET": str(offset), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    return Observatory(process, offset)


@pytest.fixture(scope="module")
def observatory() -> Iterator[Observatory]:
    """Run an observatory for a test module. A conftest imports this fixture."""
    with running_observatory() as running:
        yield running


@pytest.fixture
def create_telemetry() -> Iterator[CreateTelemetry]:
    """Return a function that creates telemetry of a service, closed after the test. A conftest imports this fixture."""
    created: list[Telemetry] = []

    def create(running: Observatory, service: str) -> Telemetry:
        created.append(Telemetry(running, service))
        return created[-1]

    yield create
    for service_telemetry in created:
        service_telemetry.close()
