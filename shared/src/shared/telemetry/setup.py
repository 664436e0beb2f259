"""OpenTelemetry set-up: the SDK's providers and batch processors and the official OTLP exporters, for every process.

The standard variables apply as the SDK documents them, e.g. OTEL_EXPORTER_OTLP_PROTOCOL (`http/protobuf` or `grpc`),
OTEL_TRACES_SAMPLER, OTEL_BSP_SCHEDULE_DELAY and OTEL_PYTHON_TRACER_PROVIDER. Without an endpoint spans are still
created, so that ids appear in logs and headers, and nothing is sent. Export runs on background threads with bounded
queues, so an unavailable collector causes lost telemetry but no slow or failed requests.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, entry_points, version
from socket import gethostname
from threading import Thread
from typing import Any, Final
from uuid import uuid4

import structlog
from opentelemetry import metrics, propagate, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from shared.config import ConfigurationError, OtlpProtocol, ServiceSettings, Signal, TracesSampler
from shared.logging.setup import configure_log_export
from shared.telemetry.propagation import UntrustedContextPropagator
from shared.telemetry.spans import get_tracer_provider

log = structlog.get_logger(__name__)

NAMESPACE = "hopline"

FLUSH_S = 6.0
"""Maximum time in seconds that an exiting process waits for the export of all signals together."""

DEFAULTS: Final = {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",  # the instrumentors read it when they are first used
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2",  # seconds for one export, retries included
    "OTEL_BSP_SCHEDULE_DELAY": "500",  # milliseconds until a batch of spans is sent
    "OTEL_BLRP_SCHEDULE_DELAY": "500",  # the same for log records
    "OTEL_METRIC_EXPORT_INTERVAL": "10000",  # milliseconds
}
"""Hopline's defaults of OpenTelemetry's variables. A variable that is set takes precedence."""

_BODY_SIZES = View(instrument_name="http.server.*.body.size", aggregation=DropAggregation())
"""Drops two histograms of the instrumentation, because no dashboard shows them."""


def set_defaults() -> None:
    """Set the variables of DEFAULTS that are unset or empty. Call before the first instrumentor is used."""
    for name, value in DEFAULTS.items():
        os.environ[name] = os.environ.get(name) or value


def configure_telemetry(*, service: str, settings: ServiceSettings, public: bool = False) -> None:
    """Install the process's propagator and providers. Call once, after a fork, before the first span.

    `public` is for a process whose callers are untrusted: see `public_sampler`.
    """
    set_defaults()
    if not isinstance(propagate.get_global_textmap(), UntrustedContextPropagator):
        propagate.set_global_textmap(UntrustedContextPropagator([propagate.get_global_textmap()]))
    if settings.otel_sdk_disabled or isinstance(get_tracer_provider(), TracerProvider):
        return  # a test, or another application of this process, has set a provider
    resource = create_resource(service, settings)
    # No provider shuts down at the interpreter's exit, which would wait half a minute for an unavailable collector.
    tracers = create_tracer_provider(settings, resource, sampler=public_sampler(settings) if public else None)
    if settings.exports("traces"):
        tracers.add_span_processor(BatchSpanProcessor(create_exporter("traces", settings)))
    trace.set_tracer_provider(tracers)
    if settings.exports("metrics"):
        reader = PeriodicExportingMetricReader(create_exporter("metrics", settings))
        metrics.set_meter_provider(MeterProvider([reader], resource, shutdown_on_exit=False, views=[_BODY_SIZES]))
    if settings.exports("logs"):
        set_logger_provider(configure_log_export(resource=resource, exporter=create_exporter("logs", settings)))


def create_resource(service: str, settings: ServiceSettings) -> Resource:
    """Return the resource of this process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    attributes = {
        "service.name": service,
        "service.namespace": NAMESPACE,
        "service.version": _version(service),
        "service.instance.id": str(uuid4()),
        "host.name": gethostname(),  # generated in a container; Compose and Kubernetes replace it
        "deployment.environment.name": settings.environment.value,
    }
    return Resource.create(attributes).merge(OTELResourceDetector().detect())


def create_tracer_provider(
    settings: ServiceSettings, resource: Resource | None = None, *, sampler: Sampler | None = None
) -> TracerProvider:
    """Return a provider of the class that OTEL_PYTHON_TRACER_PROVIDER names: the SDK's, or an installed drop-in.

    Without a `sampler` the SDK uses that of OTEL_TRACES_SAMPLER.
    """
    provider_class = _load("opentelemetry_tracer_provider", settings.otel_python_tracer_provider)
    provider = provider_class(sampler=sampler, resource=resource, shutdown_on_exit=False)
    assert isinstance(provider, TracerProvider)  # noqa: S101 - drop-ins extend the SDK's class
    return provider


def public_sampler(settings: ServiceSettings) -> Sampler | None:
    """Return the sampler of a service that clients call; None if the configured one already ignores parents.

    A `parentbased_…` sampler follows the sampled flag of the caller's `traceparent`. Clients are untrusted: their
    flag 0 would hide a request from its trace, and their flag 1 would override a ratio. So the root sampler
    decides about requests from outside as well. The trace id is that of the caller, and spans within the process follow
    their parent.
    """
    match settings.otel_traces_sampler:
        case TracesSampler.PARENTBASED_ALWAYS_ON:
            root: Sampler = ALWAYS_ON
        case TracesSampler.PARENTBASED_ALWAYS_OFF:
            root = ALWAYS_OFF
        case TracesSampler.PARENTBASED_TRACEIDRATIO:
            root = TraceIdRatioBased(settings.otel_traces_sampler_arg)
        case _:
            return None
    return ParentBased(root, remote_parent_sampled=root, remote_parent_not_sampled=root)


def create_exporter(signal: Signal, settings: ServiceSettings) -> Any:
    """Return the signal's OTLP exporter for its protocol; only that protocol's packages are imported."""
    name = "otlp_proto_http"
    if settings.protocol(signal) is OtlpProtocol.GRPC:
        name = "otlp_proto_grpc"
    elif signal == "traces" and settings.otel_python_tracer_provider == "lean":
        name = "otlp_lean"  # of packages/otel-lean
    return _load(f"opentelemetry_{signal}_exporter", name)()


def _load(group: str, name: str) -> Any:
    """Load the component that an installed distribution registered in this entry point group."""
    for entry in entry_points(group=group, name=name):
        return entry.load()
    known = ", ".join(sorted(entry_points(group=group).names))
    raise ConfigurationError(f"no installed package has the {group} {name!r}. Expected one of: {known}")


@asynccontextmanager
async def flush_telemetry_at_exit() -> AsyncIterator[None]:
    """Export queued telemetry when the block ends."""
    try:
        yield
    finally:
        await _flush_in_time()


async def _flush_in_time() -> None:
    """Flush for at most FLUSH_S, in a daemon thread: neither the loop nor the interpreter waits for it."""
    loop, flushed = asyncio.get_running_loop(), asyncio.Event()

    def flush() -> None:
        flush_telemetry()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(flushed.set)

    Thread(target=flush, name="flush-telemetry", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_S):
            await flushed.wait()


def flush_telemetry() -> None:
    """Export queued telemetry. Blocks without a limit, because the SDK's flush ignores its timeout.

    A signal that fails is logged, and the others are exported: a MeterProvider raises if a reader needs too long.
    """
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()):
        if isinstance(provider, TracerProvider | MeterProvider | LoggerProvider):
            try:
                provider.force_flush()
            except Exception as error:  # noqa: BLE001 - a MeterProvider raises Exception itself
                log.warning("telemetry_flush_failed", provider=type(provider).__name__, error=repr(error))


def _version(service: str) -> str:
    try:
        return version(service)
    except PackageNotFoundError:
        return "0"
