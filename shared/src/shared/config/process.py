"""Settings of every process, gunicorn, services, workers and access tokens."""

import os
from enum import StrEnum
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    WebsocketUrl,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.config.loading import Environment, SecretFileSource, dotenv_enabled, warn_of_old_names
from shared.config.telemetry import TelemetrySettings
from shared.validation.numbers import validate_decimal, validate_integer

DEVELOPMENT_ONLY = "development-only"
"""Part of every secret in the repository. These secrets are public (infra/k8s/overlays/kind)."""


class LogFormat(StrEnum):
    """Format of log records on standard output; `auto` is pretty on a terminal, else JSON."""

    AUTO = "auto"
    JSON = "json"
    PRETTY = "pretty"


class HttpTransport(StrEnum):
    """Transport of httpx clients: aiohttp, or the drop-in of `packages/httpx-httptools`."""

    AIOHTTP = "aiohttp"
    HTTPTOOLS = "httptools"


MAX_WORKERS = 64


def _worker_count(value: object) -> object:
    """Return 2 × cores + 1, at most `MAX_WORKERS`, for `auto`. Cores outside of the CPU affinity are not counted."""
    if value != "auto":
        return validate_integer(value)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2 * cores + 1, MAX_WORKERS)


WorkerCount = Annotated[int, BeforeValidator(_worker_count), Field(ge=1, le=MAX_WORKERS)]


class ProcessSettings(BaseSettings):
    """Settings of every process."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True, env_file=".env"
    )

    environment: Environment = Field(
        Environment.DEVELOPMENT,
        description="Where the process runs. Development adds a seeded admin, fault injection and debug pages; "
        "production rejects crash points, storage below /tmp and secrets of the repository",
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
    def _reject_unusual_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Reject `1_0`, ` 3 ` and similar text, which pydantic reads as numbers. Skip fields with a BeforeValidator."""
        field = cls.model_fields[info.field_name or ""]
        if any(isinstance(constraint, BeforeValidator) for constraint in field.metadata):
            return value
        if field.annotation in (int, int | None):
            return validate_integer(value)
        return validate_decimal(value) if field.annotation in (float, float | None) else value

    @classmethod
    def settings_customise_sources(  # the order is the precedence
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by X_FILE
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return arguments, environment variables, secret files and, in development, `.env`."""
        dotenv = (dotenv_settings,) if dotenv_enabled() else ()
        for source in (env_settings, *dotenv):
            warn_of_old_names(settings_cls, source)
        return (init_settings, env_settings, SecretFileSource(settings_cls), *dotenv)


class GunicornSettings(ProcessSettings):
    """The gunicorn master of a service (`shared.server.gunicorn`)."""

    host: str = Field("0.0.0.0", description="Address that the service listens on")
    port: int = Field(8000, ge=0, le=65535, description="TCP port that the service listens on")
    max_requests: int | None = Field(
        None,
        ge=0,
        description="Requests, plus up to a tenth at random, after which a worker is replaced; 0 means never. If "
        "unset: 0 with one worker, because nothing serves while it is replaced, and 100000 with more",
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

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _add_mapped_networks(cls, value: str) -> str:
        """Add the IPv4-mapped network (`::ffff:10.0.0.0/104`) of each IPv4 network (`10.0.0.0/8`).

        A socket for both protocols (`HOST=::`) reports IPv4 proxies by such addresses.
        """
        proxies = [proxy.strip() for proxy in value.split(",") if proxy.strip()]
        networks = [ip_network(proxy) for proxy in proxies if proxy != "*"]
        mapped = [
            f"::ffff:{net.network_address}/{96 + net.prefixlen}" for net in networks if isinstance(net, IPv4Network)
        ]
        return ",".join([*proxies, *mapped])


class ServiceSettings(TelemetrySettings, ProcessSettings):
    """Settings of every service and worker."""

    http_transport: HttpTransport = Field(
        HttpTransport.AIOHTTP,
        description="Transport under httpx; httptools is packages/httpx-httptools, which needs less CPU time",
    )
    drain_seconds: float = Field(
        2.0, ge=0, le=5, description="Time during which readiness fails before sockets close, in seconds"
    )
    crash_at: str | None = Field(
        None,
        description="Named crash point at which the process ends, for fault tests; read from the environment only, "
        "rejected in production",
    )

    @model_validator(mode="after")
    def _no_development_secrets_in_production(self) -> Self:
        for name in type(self).model_fields if self.environment is Environment.PRODUCTION else ():
            value = getattr(self, name)
            if DEVELOPMENT_ONLY in (value.get_secret_value() if isinstance(value, SecretStr) else str(value)):
                raise ValueError(f"{name.upper()} is a secret of the repository, which production rejects; set another")
        return self

    @model_validator(mode="after")
    def _no_crash_points_in_production(self) -> Self:
        if self.crash_at and self.environment is Environment.PRODUCTION:
            raise ValueError("CRASH_AT is rejected in production. Unset it")
        return self


class TokenSettings(BaseSettings):
    """Issuer and audience of accepted access tokens."""

    token_issuer: str = Field("hopline-users", description="Issuer of accepted access tokens, the claim iss")
    token_audience: str = Field("hopline", description="Audience of accepted access tokens, the claim aud")


def _validate_ascii(value: SecretStr) -> SecretStr:
    """Return the value; raises ValueError if it is not ASCII. FastAPI rejects other credentials of HTTP Basic."""
    if not value.get_secret_value().isascii():
        raise ValueError("must have only ASCII characters")
    return value


class WorkersClientSettings(BaseSettings):
    """Client secret of the workers, the same for users and the workers."""

    workers_client_secret: Annotated[SecretStr, AfterValidator(_validate_ascii)] = Field(
        min_length=8, description="Client secret by which the workers get access tokens, 8 ASCII characters or more"
    )


class JwksSettings(TokenSettings):
    """URL of the keys that verify access tokens (RFC 7517)."""

    jwks_url: AnyHttpUrl = Field(
        description="JSON Web Key Set that verifies access tokens, for example "
        "http://localhost:8001/.well-known/jwks.json"
    )


class WebsocketSettings(BaseSettings):
    """Public URL of the WebSocket."""

    public_ws_url: WebsocketUrl = Field(
        WebsocketUrl("ws://localhost:8003/ws"),
        description="Public URL of the WebSocket, for tickets of notifications and the content security policy",
    )
