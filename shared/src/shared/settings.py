"""Settings: small, frozen, typed, read once from the environment.

A process composes its settings from the blocks below, so that it declares only what it uses::

    class Settings(DatabaseSettings, RedisSettings, ServiceSettings):
        public_ws_url: WebsocketUrl

A secret can be given as a file: `X_FILE=/run/secrets/x` sets `X` to the file's content, as Docker and Kubernetes
mount them. A missing or wrong value stops the process before it serves, in one line that names the variable.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import AnyHttpUrl, Field, PostgresDsn, RedisDsn, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

CONFIGURATION_ERROR = 4
"""Exit status of a process whose settings are wrong: gunicorn's APP_LOAD_ERROR, on which its master stops too."""


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


class ConfigurationError(Exception):
    """The settings contradict what the process found (say, the database server's limits). Stops the start."""


class FileSecrets(PydanticBaseSettingsSource):
    """Reads `FIELD` from the file named by `FIELD_FILE`; raises ConfigurationError where it cannot be read."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return (value, key, is_complex) of one field; value None where no file is named."""
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


class Exporter(StrEnum):
    """Where a signal goes."""

    OTLP = "otlp"
    NONE = "none"


class TelemetrySettings(BaseSettings):
    """OpenTelemetry's own variables, as far as they are ours to read.

    Without an endpoint spans are made, so that ids appear in logs and headers, and nothing is sent. `otel_sdk_disabled`
    makes none. OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG are read by the SDK itself.
    """

    otel_sdk_disabled: bool = False
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = None
    otel_traces_exporter: Exporter = Exporter.OTLP
    otel_logs_exporter: Exporter = Exporter.OTLP
    otel_metrics_exporter: Exporter = Exporter.OTLP
    otel_metric_export_interval: int = Field(10_000, ge=100, description="milliseconds")

    def endpoint(self, exporter: Exporter, signal: str) -> str | None:
        """Where this signal is sent; None where it is not."""
        if self.otel_exporter_otlp_endpoint is None or exporter is Exporter.NONE:
            return None
        return f"{str(self.otel_exporter_otlp_endpoint).rstrip('/')}/v1/{signal}"


class ServiceSettings(TelemetrySettings):
    """What every process has. `web_concurrency` is the number of gunicorn workers of this service instance."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    environment: Environment = Environment.DEVELOPMENT
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")
    log_format: LogFormat = LogFormat.AUTO
    web_concurrency: int = Field(1, ge=1, le=64)
    drain_seconds: float = Field(2.0, ge=0, le=60, description="how long readiness fails before sockets close")
    crash_at: str | None = Field(None, description="named crash point for fault tests")

    @model_validator(mode="after")
    def _no_crash_points_in_production(self) -> Self:
        if self.crash_at and self.environment is Environment.PRODUCTION:
            raise ValueError("CRASH_AT is refused in production")
        return self

    @classmethod
    def settings_customise_sources(  # the order is the precedence: arguments, environment, files
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it; we read no .env
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - one directory for all; we take X_FILE
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read from arguments, then the environment, then `*_FILE`."""
        return init_settings, env_settings, FileSecrets(settings_cls)


class DatabaseSettings(BaseSettings):
    """One Postgres database and the share of its connections that this service may take.

    The pool opens a connection when one is wanted, up to `database_pool_size`, and keeps it. What overflows is closed
    when it is given back: a new connection every few requests, a fifth of the processor time of an order under load.
    `database_reserve` is what the server keeps for everybody else: other services on the same server, migrations,
    a person with psql. A statement of `slow_statement_ms` or longer gets a span of its own and a line
    in the log; 0 gives each a span, and no line.
    """

    database_url: PostgresDsn
    database_pool_size: int = Field(10, ge=1, le=100)
    database_max_overflow: int = Field(0, ge=0, le=100)
    database_reserve: int = Field(20, ge=0)
    slow_statement_ms: float = Field(500.0, ge=0)


class RedisSettings(BaseSettings):
    """One Redis-protocol server."""

    redis_url: RedisDsn


class OutboxSettings(BaseSettings):
    """How long events are kept after every consumer has acknowledged them.

    For that long a consumer's database may be restored from a backup and be told again what it lost.
    """

    outbox_kept_days: float = Field(7, ge=0, le=3650)


class ObjectStoreSettings(BaseSettings):
    """Where files are kept: `file:///a/folder`, made where it is missing, or `s3://bucket/prefix`.

    The rest is for S3: `s3_endpoint` for a server other than Amazon's, and the key, without which the machine's own
    identity is used.
    """

    object_store_url: str = Field("file:///tmp/hopline/objects", pattern="^(file:///|s3://).+")
    s3_endpoint: AnyHttpUrl | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr = SecretStr("")


class LastingObjectStoreSettings(ObjectStoreSettings, ServiceSettings):
    """For who writes files or gives them away: production must name a place that outlives the process.

    What lies below /tmp, as by default, is one container's own.
    """

    @model_validator(mode="after")
    def _no_passing_place_in_production(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.object_store_url.startswith("file:///tmp/"):
            raise ValueError("OBJECT_STORE_URL is refused below /tmp in production: files would not last")
        return self


class TokenSettings(BaseSettings):
    """Whose access tokens are accepted."""

    token_issuer: str = "hopline-users"  # noqa: S105 - a name, not a secret
    token_audience: str = "hopline"  # noqa: S105


class JwksSettings(TokenSettings):
    """Where the keys that sign access tokens are published (RFC 7517)."""

    jwks_url: AnyHttpUrl


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


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
    "ConfigurationError",
    "DatabaseSettings",
    "Environment",
    "Exporter",
    "JwksSettings",
    "LastingObjectStoreSettings",
    "LogFormat",
    "ObjectStoreSettings",
    "OutboxSettings",
    "RedisSettings",
    "SecretStr",
    "ServiceSettings",
    "TokenSettings",
    "load_settings",
]
