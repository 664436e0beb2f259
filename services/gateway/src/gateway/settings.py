"""Settings of the gateway; durations are in seconds."""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, AnyHttpUrl, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from shared.config import JwksSettings, RedisSettings, ServiceSettings, WebsocketSettings, load_settings


def _split_by_comma(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _check_origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"(?!http:.*:80$|https:.*:443$)[a-z][a-z0-9+.-]*://[^/?#@A-Z\s]+", value):
        raise ValueError(
            f"{value!r} matches no request. Write the origin as browsers send it: https://shop.example, in lower case, "
            "without a slash at the end, a path or the default port"
        )
    return value


def _check_host(value: str) -> str:
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_.-]+|\[[A-Fa-f0-9:.]+\]", value):
        raise ValueError(
            f"{value!r} matches no request. Write a host without scheme and port: shop.example, *.example.com, [::1]. "
            "Leave the setting empty to accept any host"
        )
    return value


class ResilienceSettings(BaseSettings):
    """Capacity limits of one gateway process."""

    max_concurrent_requests: int = Field(
        500,
        ge=1,
        le=100_000,
        validation_alias=AliasChoices("max_concurrent_requests", "requests_at_once"),
        description="Requests in flight in one gateway process, of which reads may be four fifths; further ones are "
        "shed with 503",
    )
    max_concurrent_uploads: int = Field(
        250,
        ge=1,
        le=100_000,
        description="Requests of one gateway process whose body, of at most 64 KiB, is still arriving; further ones "
        "are shed with 503",
    )
    max_concurrent_uploads_per_address: int = Field(
        25,
        ge=1,
        le=100_000,
        description="Requests of one client address whose body is still arriving; further ones are rejected with 429",
    )
    max_concurrent_calls: int = Field(
        100,
        ge=1,
        le=10_000,
        validation_alias=AliasChoices("max_concurrent_calls", "upstream_calls_at_once"),
        description="Concurrent calls to one upstream, and the number of further calls that wait for a slot",
    )
    max_concurrent_downloads: int = Field(
        50,
        ge=1,
        le=10_000,
        validation_alias=AliasChoices("max_concurrent_downloads", "upstream_files_at_once"),
        description="Concurrent downloads from one upstream, in addition to MAX_CONCURRENT_CALLS",
    )
    max_concurrent_downloads_per_user: int = Field(
        4,
        ge=1,
        le=10_000,
        validation_alias=AliasChoices("max_concurrent_downloads_per_user", "upstream_files_per_user"),
        description="Concurrent downloads of one user from one upstream",
    )
    upstream_attempts: int = Field(3, ge=1, le=10, description="Attempts at one upstream call, the first included")
    retry_budget: float = Field(
        0.2, ge=0, le=1, description="Retries allowed to one upstream, as a fraction of the calls to it"
    )
    retries_per_second: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Retries per second allowed to one upstream in addition to RETRY_BUDGET, for endpoints with few "
        "calls",
    )
    breaker_open_seconds: float = Field(
        5.0,
        gt=0,
        le=300,
        description="Time for which a circuit stays open once half of the last calls failed, in seconds",
    )
    hedge_after_seconds: float = Field(
        0.0,
        ge=0,
        le=60,
        description="Time after which a read without a response is sent a second time, in seconds; 0 disables hedging",
    )


class BrowserSettings(WebsocketSettings):
    """Addresses that the browser application links to or connects to."""

    traces_url: AnyHttpUrl = Field(
        AnyHttpUrl("http://localhost:16686"), description="Base URL of the trace viewer, for links of the page"
    )
    traces_query_url: AnyHttpUrl | None = Field(
        None,
        description="Base URL of Jaeger's query API, for the traces that the page shows in development; by default "
        "TRACES_URL",
    )
    logs_url: AnyHttpUrl | None = Field(None, description="URL of the log viewer, for links of the page")
    metrics_url: AnyHttpUrl | None = Field(None, description="URL of the dashboards, for links of the page")
    mail_url: AnyHttpUrl | None = Field(None, description="URL of the mailbox, for links of the page in development")


class Settings(BrowserSettings, ResilienceSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Upstreams, timeouts and limits of the gateway."""

    users_url: AnyHttpUrl = Field(description="Base URL of the users service, for example http://localhost:8001")
    orders_url: AnyHttpUrl = Field(description="Base URL of the orders service, for example http://localhost:8002")
    notifications_url: AnyHttpUrl = Field(
        description="Base URL of the notifications service, for example http://localhost:8003"
    )
    request_seconds: float = Field(10.0, gt=0, le=60, description="Deadline of one request, in seconds")
    upstream_seconds: float = Field(5.0, gt=0, le=60, description="Timeout of one call to an upstream, in seconds")
    dashboard_seconds: float = Field(
        1.0, gt=0, le=60, description="Timeout of one part of the dashboard, in seconds; a part that is late is null"
    )
    max_concurrent_lookups: int = Field(
        10,
        ge=1,
        le=100,
        validation_alias=AliasChoices("max_concurrent_lookups", "lookups_at_once"),
        description="Concurrent calls to users of one `POST /v2/users/lookup`",
    )
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_check_origin)], ...], NoDecode, BeforeValidator(_split_by_comma)
    ] = Field(
        (), description="Origins whose browser pages may call the API (CORS), separated by commas; none by default"
    )
    allowed_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(_check_host)], ...], NoDecode, BeforeValidator(_split_by_comma)
    ] = Field(
        (),
        description="Accepted Host headers, separated by commas, *.example.com for subdomains; any host by default",
    )
    rate_limit_user: int | None = Field(
        None, ge=1, description="Requests per minute of one user; by default 600 in production, else 60000"
    )
    rate_limit_address: int | None = Field(
        None, ge=1, description="Requests per minute of one address; by default 3000 in production, else 300000"
    )
    rate_limit_credentials_address: int | None = Field(
        None,
        ge=1,
        description="Logins, registrations and token refreshes per minute of one address; by default 60 in "
        "production, else 6000",
    )
    rate_limit_credentials_name: int = Field(
        30, ge=1, description="Logins and registrations per minute for one account name"
    )
    rate_limit_telemetry_address: int = Field(
        300, ge=1, description="Batches of telemetry per minute that the pages of one address may send, in development"
    )
    rate_limit_timeout_seconds: float = Field(
        0.1,
        gt=0,
        le=10,
        validation_alias=AliasChoices("rate_limit_timeout_seconds", "rate_limit_patience_seconds"),
        description="Timeout of counting a request in Redis, in seconds; after it the process counts locally",
    )


@lru_cache
def get_settings() -> Settings:
    """Return the settings of the process, which exits with status 4 if they are invalid."""
    return load_settings(Settings)
