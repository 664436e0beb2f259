"""OpenTelemetry set-up: traces, logs and metrics leave by OTLP/HTTP, from one place for every process.

Without `OTEL_EXPORTER_OTLP_ENDPOINT` spans are still made, so that ids appear in logs and headers, and nothing is
sent. Exporting happens on background threads with bounded queues: a backend that is down costs dropped telemetry,
never a slower or failed request.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_lean.exporter import SpanExporter
from otel_lean.tracer import LeanTracerProvider
from shared.durations import MetricExporter
from shared.logging import configure_log_export
from shared.settings import ServiceSettings

NAMESPACE = "hopline"

EXPORT_TIMEOUT_S = 2
"""One export attempt, from the connection on: how long its host's name is looked up for, nothing bounds."""

FLUSH_S = 6.0
"""What a process waits at its end for all three signals together, however its backend or its resolver hangs."""

EXPORT_EVERY_MS = 500
"""Spans and lines wait so long for company; a queue holds 2,048 of each, and what comes on top is dropped."""


def configure_telemetry(*, service: str, settings: ServiceSettings) -> None:
    """Install the process's tracer, logger and meter providers. Call once, after a fork, before the first span."""
    if settings.otel_sdk_disabled or isinstance(trace.get_tracer_provider(), TracerProvider):
        return  # in the second case a test, or a second application in this process, has set them
    resource = Resource.create(
        {
            "service.name": service,
            "service.namespace": NAMESPACE,
            "service.version": _version(service),
            "service.instance.id": str(uuid4()),
            "deployment.environment.name": settings.environment.value,
        }
    )
    # None of them shuts itself down when the interpreter ends, for which each would wait half a minute where nobody
    # takes its data: what is queued then has been flushed.
    tracers = LeanTracerProvider(resource=resource)
    if endpoint := settings.endpoint(settings.otel_traces_exporter, "traces"):
        spans = SpanExporter(endpoint, timeout=EXPORT_TIMEOUT_S)
        tracers.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=EXPORT_EVERY_MS))
    if endpoint := settings.endpoint(settings.otel_logs_exporter, "logs"):
        records = OTLPLogExporter(endpoint, timeout=EXPORT_TIMEOUT_S)
        set_logger_provider(configure_log_export(resource=resource, exporter=records))
    if endpoint := settings.endpoint(settings.otel_metrics_exporter, "metrics"):
        figures = MetricExporter(endpoint, timeout=EXPORT_TIMEOUT_S)
        reader = PeriodicExportingMetricReader(figures, export_interval_millis=settings.otel_metric_export_interval)
        metrics.set_meter_provider(MeterProvider([reader], resource=resource, shutdown_on_exit=False))
    trace.set_tracer_provider(tracers)


@asynccontextmanager
async def telemetry_flushed_at_exit() -> AsyncIterator[None]:
    """Send what is still queued when the process ends: the last spans of a drained process matter most."""
    try:
        yield
    finally:
        await _flush_in_time()


async def _flush_in_time() -> None:
    """Flush for at most FLUSH_S; for a daemon thread neither loop nor interpreter waits at the end."""
    loop, flushed = asyncio.get_running_loop(), asyncio.Event()

    def flush() -> None:
        flush_telemetry()
        with suppress(RuntimeError):  # the loop was not waited for
            loop.call_soon_threadsafe(flushed.set)

    Thread(target=flush, name="flush-telemetry", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_S):
            await flushed.wait()


def flush_telemetry() -> None:
    """Send what is queued. Blocks without a bound: the SDK's flush takes a timeout and ignores it."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()):
        if isinstance(provider, TracerProvider | MeterProvider | LoggerProvider):
            provider.force_flush(EXPORT_TIMEOUT_S * 1000)


def _version(service: str) -> str:
    try:
        return version(service)
    except PackageNotFoundError:
        return "0"
