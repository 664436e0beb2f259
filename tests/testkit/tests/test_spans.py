"""The tracer provider of the test process."""

from opentelemetry import metrics, trace

from shared.config import ServiceSettings
from shared.telemetry.setup import configure_telemetry


def test_application_installs_no_exporters_when_it_has_an_otlp_endpoint() -> None:
    providers = trace.get_tracer_provider(), metrics.get_meter_provider()
    configure_telemetry(service="hello", settings=ServiceSettings(otel_exporter_otlp_endpoint="http://127.0.0.1:9"))
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == providers
