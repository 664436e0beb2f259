"""Settings: small, frozen, typed, read once from the environment.

A process composes its settings from the blocks below, so that it declares only what it uses::

    class Settings(DatabaseSettings, RedisSettings, ServiceSettings):
        public_ws_url: WebsocketUrl

The order of precedence is: arguments, environment variables, secret files, `.env`.

- A secret file is named by `X_FILE=/run/secrets/x` and sets `X` to its content, as Docker and Kubernetes mount them.
- `.env` in the working directory is read in development only: `ENVIRONMENT` is unset or `development` among the
  environment variables. `PYTHON_DOTENV_DISABLED=1` turns it off; the test runner and the benchmarks set it.

Every field has a description; `.env.example` is generated from them (`python -m checks.env_example`). A missing or
wrong value stops the process before it serves, with one line per variable.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AnyHttpUrl,
    BeforeValidator,
    Field,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.numbers import decimal, whole

CONFIGURATION_ERROR = 4
"""Exit status of a process whose settings are wrong: gunicorn's APP_LOAD_ERROR, on which its master stops too."""

DEVELOPMENT_ONLY = "development-only"
"""Part of every secret in the repository, which everybody knows (infra/k8s/overlays/kind)."""


class Environment(StrEnum):
    """Where the process runs; conveniences and crash points exist outside production only."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """How log lines are rendered on standard output; `auto` is pretty on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    PRETTY = "pretty"


class HttpTransport(StrEnum):
    """What httpx clients send requests with: aiohttp, or the drop-in of `packages/httpx-httptools`."""

    AIOHTTP = "aiohttp"
    HTTPTOOLS = "httptools"


class ConfigurationError(Exception):
    """The settings contradict what the process found (say, the database server's limits). Stops the start."""


class FileSecrets(PydanticBaseSettingsSource):
    """Reads `FIELD` from the file named by `FIELD_FILE`; raises ConfigurationError if it cannot be read."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return (value, key, is_complex) of one field; value None if no file is named."""
        variable = f"{field_name}_FILE".upper()
        path = os.environ.get(variable)
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            raise ConfigurationError(f"{variable}: cannot read {path}: {error.strerror}") from error

    def __call__(self) -> dict[str, Any]:
        """Return every field that a file gives."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


MAX_WORKERS = 64


def _worker_count(value: object) -> object:
    """Return 2 × cores + 1, at most `MAX_WORKERS`, for `auto`. Cores are those that this process may run on."""
    if value != "auto":
        return whole(value)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2 * cores + 1, MAX_WORKERS)


WorkerCount = Annotated[int, BeforeValidator(_worker_count), Field(ge=1, le=MAX_WORKERS)]


class ProcessSettings(BaseSettings):
    """Settings that every process reads, and where they are read from."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True, env_file=".env"
    )

    environment: Environment = Field(
        Environment.DEVELOPMENT,
        description="Where the process runs. Development adds a seeded admin, fault injection and debug pages; "
        "production refuses crash points, storage below /tmp and secrets of the repository",
    )
    log_level: str = Field(
        "INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$",
        description="Lowest level of log records that are kept: DEBUG, INFO, WARNING, ERROR or CRITICAL",
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="Format of log records on standard output; auto is pretty on a terminal, else json"
    )
    web_concurrency: WorkerCount = Field(
        1,
        description="Worker processes of gunicorn for one service instance; auto is 2 × cores + 1, for a host without "
        "containers. In a container keep 1 and scale replicas",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _digits_only(cls, value: object, info: ValidationInfo) -> object:
        """Refuse text such as `1_0` and ` 3 `, which pydantic reads as a number. Fields with a validator decide."""
        field = cls.model_fields[info.field_name or ""]
        if any(isinstance(each, BeforeValidator) for each in field.metadata):
            return value
        if field.annotation in (int, int | None):
            return whole(value)
        return decimal(value) if field.annotation in (float, float | None) else value

    @classmethod
    def settings_customise_sources(  # the order is the precedence
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - one directory for all; we take X_FILE
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return arguments, environment variables, secret files and, in development, `.env`."""
        sources = (init_settings, env_settings, FileSecrets(settings_cls))
        return (*sources, dotenv_settings) if _dotenv_enabled() else sources


def _dotenv_enabled() -> bool:
    disabled = os.environ.get("PYTHON_DOTENV_DISABLED", "").casefold() in {"1", "true", "t", "yes", "y"}
    return not disabled and (os.environ.get("ENVIRONMENT") or Environment.DEVELOPMENT) == Environment.DEVELOPMENT


class GunicornSettings(ProcessSettings):
    """The gunicorn master of a service (`shared.gunicorn`)."""

    host: str = Field("0.0.0.0", description="Address that the service listens on")
    port: int = Field(8000, ge=0, le=65535, description="TCP port that the service listens on")
    max_requests: int | None = Field(
        None,
        ge=0,
        description="Requests, plus up to a tenth at random, after which a worker is replaced; 0 is never. If unset: "
        "0 with one worker, since nothing serves while it is replaced, and 100000 with more",
    )
    backlog: int = Field(
        2048, ge=1, le=65535, description="Connections that may wait to be accepted; the kernel caps it at somaxconn"
    )
    worker_restarts_file: Path | None = Field(
        None, description="File that grows by one byte whenever the master replaces a worker; `make status` counts them"
    )
    forwarded_allow_ips: str = Field(
        "",
        description="Trusted proxies, addresses and networks separated by commas, whose X-Forwarded-* headers are used",
    )


class Exporter(StrEnum):
    """Where a signal goes."""

    OTLP = "otlp"
    NONE = "none"


class OtlpProtocol(StrEnum):
    """How OTLP is sent."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


Signal = Literal["traces", "metrics", "logs"]


class TracesSampler(StrEnum):
    """Which requests get recorded spans; a `parentbased_` one decides about traces that begin here."""

    ALWAYS_ON = "always_on"
    ALWAYS_OFF = "always_off"
    TRACEIDRATIO = "traceidratio"
    PARENTBASED_ALWAYS_ON = "parentbased_always_on"
    PARENTBASED_ALWAYS_OFF = "parentbased_always_off"
    PARENTBASED_TRACEIDRATIO = "parentbased_traceidratio"


class TelemetrySettings(BaseSettings):
    """OpenTelemetry's own variables that the code reads; the SDK reads the others from the environment.

    Without an endpoint spans are made, so that ids appear in logs and headers, and nothing is sent. `otel_sdk_disabled`
    makes none.
    """

    otel_sdk_disabled: bool = Field(False, description="Whether the process makes no spans, metrics and exported logs")
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
        None, description="Base URL of the OTLP receiver, for example http://localhost:4318; without it nothing is sent"
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
        """Return whether the signal is sent."""
        wanted: Exporter = getattr(self, f"otel_{signal}_exporter")
        endpoint = getattr(self, f"otel_exporter_otlp_{signal}_endpoint") or self.otel_exporter_otlp_endpoint
        return wanted is Exporter.OTLP and endpoint is not None

    def protocol(self, signal: Signal) -> OtlpProtocol:
        """Return the protocol that the signal is sent by."""
        return getattr(self, f"otel_exporter_otlp_{signal}_protocol") or self.otel_exporter_otlp_protocol


class ServiceSettings(TelemetrySettings, ProcessSettings):
    """Settings that every service and worker has."""

    http_transport: HttpTransport = Field(
        HttpTransport.AIOHTTP,
        description="Transport under httpx; httptools is packages/httpx-httptools, which needs less CPU time",
    )
    drain_seconds: float = Field(
        2.0, ge=0, le=60, description="Time during which readiness fails before sockets close, in seconds"
    )
    crash_at: str | None = Field(
        None,
        description="Named crash point at which the process ends, for fault tests; read from the environment only, "
        "refused in production",
    )

    @model_validator(mode="after")
    def _no_development_secrets_in_production(self) -> Self:
        for name in type(self).model_fields if self.environment is Environment.PRODUCTION else ():
            value = getattr(self, name)
            if DEVELOPMENT_ONLY in (value.get_secret_value() if isinstance(value, SecretStr) else str(value)):
                raise ValueError(f"{name.upper()} is a secret of the repository, which production refuses")
        return self

    @model_validator(mode="after")
    def _no_crash_points_in_production(self) -> Self:
        if self.crash_at and self.environment is Environment.PRODUCTION:
            raise ValueError("CRASH_AT is refused in production")
        return self


class DatabaseSettings(BaseSettings):
    """One PostgreSQL database and the share of its connections that this process may take."""

    database_url: PostgresDsn = Field(
        description="PostgreSQL database of the process, for example postgresql://orders:secret@localhost:5432/orders"
    )
    database_pool_size: int = Field(
        10, ge=1, le=100, description="Connections that the pool of one process opens on demand and keeps"
    )
    database_max_overflow: int = Field(
        0,
        ge=0,
        le=100,
        description="Connections beyond the pool; each is closed after use, which costs a fifth of an order's CPU time",
    )
    database_reserve: int = Field(
        20,
        ge=0,
        description="Connections of the server that stay free for other services, migrations and people with psql",
    )
    database_lock_timeout_ms: int = Field(
        1000,
        ge=1,
        le=10_000,
        description="How long a statement waits for a lock, such as that of a row that another transaction changes, in "
        "milliseconds; after it the response is 503",
    )
    sql_echo: bool = Field(
        False, description="Whether each statement gets a log record with its duration, and without its values"
    )
    slow_statement_ms: float = Field(
        500.0,
        ge=0,
        description="Duration from which a statement gets its own span and a log record, in milliseconds; "
        "0 gives each statement a span and no record",
    )


class RedisSettings(BaseSettings):
    """One Redis-protocol server."""

    redis_url: RedisDsn = Field(description="Redis-protocol server, for example redis://localhost:6379/0")


class OutboxSettings(BaseSettings):
    """Retention of published events."""

    outbox_kept_days: float = Field(
        7,
        ge=0,
        le=3650,
        description="Retention of events that every consumer has acknowledged, in days; a consumer's database "
        "restored from a backup within that time can read them again",
    )


class ObjectStoreSettings(BaseSettings):
    """Where files are kept. The `s3_` settings are for `s3://` URLs."""

    object_store_url: str = Field(
        "file:///tmp/hopline/objects",
        pattern="^(file:///|s3://).+",
        description="Where files are kept: file:///folder, which is created if missing, or s3://bucket/prefix",
    )
    s3_endpoint: AnyHttpUrl | None = Field(None, description="URL of an S3 server other than Amazon's")
    s3_region: str = Field("us-east-1", description="Region of the S3 bucket")
    s3_access_key_id: str = Field("", description="S3 access key; without it the machine's own identity is used")
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="Secret of the S3 access key")


class LastingObjectStoreSettings(ObjectStoreSettings, ServiceSettings):
    """For processes that write files or link to them: production requires storage that outlives the process.

    Files below /tmp, as by default, belong to one container.
    """

    @model_validator(mode="after")
    def _no_passing_place_in_production(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.object_store_url.startswith("file:///tmp/"):
            raise ValueError("OBJECT_STORE_URL is refused below /tmp in production: files would not last")
        return self


class TokenSettings(BaseSettings):
    """Whose access tokens are accepted."""

    token_issuer: str = Field("hopline-users", description="Issuer of accepted access tokens, the claim iss")
    token_audience: str = Field("hopline", description="Audience of accepted access tokens, the claim aud")


class JwksSettings(TokenSettings):
    """Where the keys that sign access tokens are published (RFC 7517)."""

    jwks_url: AnyHttpUrl = Field(
        description="JSON Web Key Set that verifies access tokens, for example "
        "http://localhost:8001/.well-known/jwks.json"
    )


SettingsT = TypeVar("SettingsT", bound=ProcessSettings)


def load_settings(settings_type: type[SettingsT]) -> SettingsT:
    """Read the settings or end the process with status 4 and one line per wrong variable on standard error."""
    try:
        return settings_type()
    except ValidationError as error:
        reasons = [f"{_variable(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
    except ConfigurationError as error:
        reasons = [str(error)]
    for reason in reasons:
        sys.stderr.write(f"configuration error: {reason}\n")
    sys.exit(CONFIGURATION_ERROR)


def _variable(location: tuple[int | str, ...]) -> str:
    return str(location[0]).upper() if location else "settings"


__all__ = [
    "CONFIGURATION_ERROR",
    "DEVELOPMENT_ONLY",
    "ConfigurationError",
    "DatabaseSettings",
    "Environment",
    "Exporter",
    "GunicornSettings",
    "HttpTransport",
    "JwksSettings",
    "LastingObjectStoreSettings",
    "LogFormat",
    "ObjectStoreSettings",
    "OtlpProtocol",
    "OutboxSettings",
    "ProcessSettings",
    "RedisSettings",
    "SecretStr",
    "ServiceSettings",
    "Signal",
    "TokenSettings",
    "load_settings",
]
