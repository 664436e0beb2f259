"""What this process is told by its environment; durations are in seconds."""

from typing import Annotated

from pydantic import AnyHttpUrl, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from shared.settings import JwksSettings, RedisSettings, ServiceSettings


def _by_comma(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class ResilienceSettings(BaseSettings):
    """How much one gateway process bears before something gives; durations are in seconds.

    `requests_at_once` are served, reads up to four fifths of it. One service is asked by `upstream_calls_at_once`, and
    as many wait; `upstream_files_at_once` are read from it meanwhile, each at its reader's pace, and
    `upstream_files_per_user` of them by one user: more than a person reads at once, and a dozen slow readers away from
    all places. A call is tried `upstream_attempts` times, all calls together `1 + retry_budget` times their number. A
    circuit opens for `breaker_open_seconds` where half of the last calls failed. A read without an answer after
    `hedge_after_seconds` is asked for a second time; 0 turns that off.
    """

    requests_at_once: int = Field(500, ge=1, le=100_000)
    upstream_calls_at_once: int = Field(100, ge=1, le=10_000)
    upstream_files_at_once: int = Field(50, ge=1, le=10_000)
    upstream_files_per_user: int = Field(4, ge=1, le=10_000)
    upstream_attempts: int = Field(3, ge=1, le=10)
    retry_budget: float = Field(0.2, ge=0, le=1)
    breaker_open_seconds: float = Field(5.0, gt=0, le=300)
    hedge_after_seconds: float = Field(0.0, ge=0, le=60)


class Settings(ResilienceSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Where the services are, and how long anybody waits.

    A request has `request_seconds` in all, one call to an upstream `upstream_seconds` of them, and one part of the
    dashboard `dashboard_seconds`: a page with a hole is worth more than a page that hangs. `cors_origins`, by comma,
    may call from a browser page of their own; nobody may by default. `allowed_hosts`, by comma, are what a request's
    `Host` may be, `*.example.com` for all below; anything without one. `traces_url` is a link for people.

    `rate_limit_*` are requests per minute; those without a number have one for where the process runs
    (`gateway.limits.rules`). Redis has `rate_limit_patience_seconds` to count a request, then this process does.
    """

    users_url: AnyHttpUrl
    orders_url: AnyHttpUrl
    notifications_url: AnyHttpUrl
    request_seconds: float = Field(10.0, gt=0, le=60)
    upstream_seconds: float = Field(5.0, gt=0, le=60)
    dashboard_seconds: float = Field(1.0, gt=0, le=60)
    lookups_at_once: int = Field(10, ge=1, le=100)
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_by_comma)] = ()
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_by_comma)] = ()
    rate_limit_user: int | None = Field(None, ge=1)
    rate_limit_address: int | None = Field(None, ge=1)
    rate_limit_credentials_address: int | None = Field(None, ge=1)
    rate_limit_credentials_name: int = Field(30, ge=1)
    rate_limit_patience_seconds: float = Field(0.1, gt=0, le=10)
    traces_url: AnyHttpUrl = AnyHttpUrl("http://localhost:16686")
