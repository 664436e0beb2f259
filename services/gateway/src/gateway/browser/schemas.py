"""Schemas of the browser application's routes. They are not in the OpenAPI documents."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.settings import Settings
from shared.config import Environment, OtlpProtocol

MAX_EMAIL_LENGTH = 320
MAX_PASSWORD_LENGTH = 1_024
"""Both limits are above those of accounts, so that a login with a longer value than an account can have gets 401, like
other wrong credentials, and not 422."""


class Login(BaseModel):
    """The credentials of an account."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(min_length=1, max_length=MAX_EMAIL_LENGTH)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH)]


class SessionToken(BaseModel):
    """The access token of a session. Its refresh token is in the cookie."""

    access_token: str
    token_type: str
    expires_in: int


class GrantedTokens(SessionToken):
    """The users service's response to a grant."""

    refresh_token: str


class Links(BaseModel):
    """URLs of pages; null if the environment does not have the page."""

    docs: str
    traces: str
    logs: str | None
    metrics: str | None
    mail: str | None


class TelemetryConfig(BaseModel):
    """Whether the page sends OTLP/HTTP JSON, and to which URLs."""

    enabled: bool
    traces_url: str
    metrics_url: str


class BrowserConfig(BaseModel):
    """The settings of the deployment that the page uses."""

    environment: Environment
    development: bool
    links: Links
    telemetry: TelemetryConfig

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the configuration for the gateway's settings."""
        development = settings.environment is Environment.DEVELOPMENT
        return cls(
            environment=settings.environment,
            development=development,
            links=Links(
                docs="/v2/docs",
                traces=str(settings.traces_url),
                logs=_text(settings.logs_url),
                metrics=_text(settings.metrics_url),
                mail=_text(settings.mail_url),
            ),
            telemetry=TelemetryConfig(
                enabled=development and accepts_telemetry(settings),
                traces_url="/browser/telemetry/v1/traces",
                metrics_url="/browser/telemetry/v1/metrics",
            ),
        )


def accepts_telemetry(settings: Settings) -> bool:
    """Return whether there is an OTLP receiver for HTTP. The page's telemetry is forwarded only by HTTP."""
    return (
        settings.otel_exporter_otlp_endpoint is not None and settings.otel_exporter_otlp_protocol is OtlpProtocol.HTTP
    )


def _text(url: object | None) -> str | None:
    return None if url is None else str(url)


class TraceSpan(BaseModel):
    """One span. It starts `start_us` microseconds after the epoch."""

    span_id: str
    parent_span_id: str | None
    name: str
    service: str
    kind: str
    scope: str
    start_us: int
    duration_us: int
    status: str
    error: str | None
    attributes: dict[str, str | int | float | bool]


class Trace(BaseModel):
    """The first spans of a trace by their start. It is `complete` if no more are expected and none was left out."""

    trace_id: str
    spans: list[TraceSpan]
    complete: bool


class BulkheadState(BaseModel):
    """Calls in flight and waiting."""

    in_use: int
    limit: int
    waiting: int


class RetryBudgetState(BaseModel):
    """The number of retries that are allowed now, and its maximum."""

    tokens: float
    limit: float


class PipelineState(BaseModel):
    """The state of one resilience pipeline."""

    circuit: str
    bulkhead: BulkheadState
    retry_budget: RetryBudgetState


class UpstreamState(PipelineState):
    """The state of a service's pipeline, and of those of its expensive endpoints."""

    endpoints: dict[str, PipelineState]


class RequestsState(BaseModel):
    """Requests in flight, and those shed since the start of the process."""

    in_flight: int
    limit: int
    shed: int


class ResilienceState(BaseModel):
    """The state of one gateway process. Each process has separate limits."""

    process: int
    requests: RequestsState
    upstreams: dict[str, UpstreamState]
