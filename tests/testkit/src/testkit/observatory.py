"""A running observatory and services that report to it, for tests that read what a backend shows."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import httpx
import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

_USUAL_PORTS = {"otlp": 4318, "jaeger": 16686, "loki": 3100, "mailpit": 8025, "smtp": 1025}
_START_SECONDS = 60
_STOP_SECONDS = 30
_SECONDS = 30


@dataclass(frozen=True)
class Observatory:
    """A started process; its ports are the usual ones plus `offset`."""

    process: subprocess.Popen[str]
    offset: int

    def port(self, name: str) -> int:
        """The port of otlp, jaeger, loki, mailpit or smtp."""
        return _USUAL_PORTS[name] + self.offset

    def url(self, name: str, path: str = "") -> str:
        """The address of a path on one of them."""
        return f"http://127.0.0.1:{self.port(name)}{path}"

    def get(self, name: str, path: str, **params: str | float) -> httpx.Response:
        """Read a path of one of them."""
        return httpx.get(self.url(name, path), params=params or None, timeout=_SECONDS)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status; harmless once it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=_STOP_SECONDS)


class Telemetry:
    """The SDK of one service, exporting every span and record at once, as the services do in batches."""

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
        """Emit one warning in the current span's context."""
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
        """Let go of the exporters' connections."""
        self._traces.shutdown()
        self._logs.shutdown()


MakeTelemetry: TypeAlias = Callable[[Observatory, str], Telemetry]


@contextmanager
def running_observatory(**environment: str) -> Iterator[Observatory]:
    """Run `python -m observatory` on free ports until the block ends.

    Raises `RuntimeError` with what it wrote when it does not answer in time.
    """
    observatory = _started(environment)
    try:
        yield observatory
    finally:
        observatory.stop()
        if observatory.process.stderr:
            observatory.process.stderr.close()


def free_offset() -> int:
    """An offset at which all the ports were free a moment ago."""
    while True:
        offset = random.randrange(20_000, 45_000)  # noqa: S311 - nothing is secret about a port
        if all(_is_free(port + offset) for port in _USUAL_PORTS.values()):
            return offset


def _started(environment: dict[str, str]) -> Observatory:
    """Start it, elsewhere where somebody else took one of the free ports first."""
    while True:
        observatory = _starting(free_offset(), environment)
        deadline = time.monotonic() + _START_SECONDS
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


def _starting(offset: int, environment: dict[str, str]) -> Observatory:
    process = subprocess.Popen(
        [sys.executable, "-m", "observatory"],
        env={**os.environ, "HOPLINE_PORT_OFFSET": str(offset), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    return Observatory(process, offset)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def observatory() -> Iterator[Observatory]:
    """A running observatory for a test module, reached only through its ports. A conftest imports this fixture."""
    with running_observatory() as running:
        yield running


@pytest.fixture
def telemetry() -> Iterator[MakeTelemetry]:
    """Make the telemetry of a service; all of it is closed at the end of the test. A conftest imports this fixture."""
    made: list[Telemetry] = []

    def make(running: Observatory, service: str) -> Telemetry:
        made.append(Telemetry(running, service))
        return made[-1]

    yield make
    for one in made:
        one.close()
