"""OpenTelemetry's variables."""

from enum import StrEnum
from typing import Literal

from pydantic import (
    AnyHttpUrl,
    Field,
)
from pydantic_settings import BaseSettings


class Exporter(StrEnum):
    """Exporter of a signal."""

    OTLP = "otlp"
    NONE = "none"


class OtlpProtocol(StrEnum):
    """Protocol of OTLP."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


Signal = Literal["traces", "metrics", "logs"]


class TracesSampler(StrEnum):
    """Sampler of traces; a `parentbased_` sampler decides only about traces that begin in this process."""

    ALWAYS_ON = "always_on"
    ALWAYS_OFF = "always_off"
    TRACEIDRATIO = "traceidratio"
    PARENTBASED_ALWAYS_ON = "parentbased_always_on"
    PARENTBASED_ALWAYS_OFF = "parentbased_always_off"
    PARENTBASED_TRACEIDRATIO = "parentbased_traceidratio"


class TelemetrySettings(BaseSettings):
    """OpenTelemetry's variables that Hopline reads. The SDK reads the others from the environment.

    Without an endpoint, spans are created, so that logs and headers have ids, but nothing is sent. With
    `otel_sdk_disabled` there are no spans.
    """

    otel_sdk_disabled: bool = Field(
        False, description="Whether OpenTelemetry is disabled: no spans, no metrics and no exported logs"
    )
    otel_python_tracer_provider: str = Field(
        "sdk_tracer_provider", description="Provider of tracers; lean is packages/otel-lean, which needs less CPU time"
    )
    otel_traces_sampler: TracesSampler = Field(
        TracesSampler.PARENTBASED_ALWAYS_ON,
        description="Sampler of traces; the gateway applies it to traces that clients begin as well",
    )
    otel_traces_sampler_arg: float = Field(
        1.0, ge=0, le=1, description="Share of traces that the two traceidratio samplers record"
    )
    otel_traces_exporter: Exporter = Field(Exporter.OTLP, description="Exporter of spans")
    otel_metrics_exporter: Exporter = Field(Exporter.OTLP, description="Exporter of metrics")
    otel_logs_exporter: Exporter = Field(Exporter.OTLP, description="Exporter of log records")
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = Field(
        None,
        description="Base URL of the OTLP receiver, for example http://localhost:4318; without it, only signals with "
        "their own URL are sent",
    )
    otel_exporter_otlp_traces_endpoint: AnyHttpUrl | None = Field(
        None, description="URL that spans are sent to, with its path, instead of the base URL"
    )
    otel_exporter_otlp_metrics_endpoint: AnyHttpUrl | None = Field(
        None, description="URL that metrics are sent to, with its path, instead of the base URL"
    )
    otel_exporter_otlp_logs_endpoint: AnyHttpUrl | None = Field(
        None, description="URL that log records are sent to, with its path, instead of the base URL"
    )
    otel_exporter_otlp_protocol: OtlpProtocol = Field(OtlpProtocol.HTTP, description="Protocol of the OTLP receiver")
    otel_exporter_otlp_traces_protocol: OtlpProtocol | None = Field(
        None, description="Protocol for spans, if it differs from the common one"
    )
    otel_exporter_otlp_metrics_protocol: OtlpProtocol | None = Field(
        None, description="Protocol for metrics, if it differs from the common one"
    )
    otel_exporter_otlp_logs_protocol: OtlpProtocol | None = Field(
        None, description="Protocol for log records, if it differs from the common one"
    )

    def exports(self, signal: Signal) -> bool:
        """Return whether the signal is exported."""
        wanted: Exporter = getattr(self, f"otel_{signal}_exporter")
        endpoint = getattr(self, f"otel_exporter_otlp_{signal}_endpoint") or self.otel_exporter_otlp_endpoint
        return wanted is Exporter.OTLP and endpoint is not None

    def protocol(self, signal: Signal) -> OtlpProtocol:
        """Return the protocol of the signal's exporter."""
        return getattr(self, f"otel_exporter_otlp_{signal}_protocol") or self.otel_exporter_otlp_protocol
