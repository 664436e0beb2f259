"""What this process is told by its environment; durations are in seconds."""

from typing import Annotated

from pydantic import AnyHttpUrl, BeforeValidator, Field
from pydantic_settings import NoDecode

from shared.settings import JwksSettings, RedisSettings, ServiceSettings


def _by_comma(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Settings(RedisSettings, JwksSettings, ServiceSettings):
    """Where the services are, and how long anybody waits.

    A request has `request_seconds` in all, one call to an upstream `upstream_seconds` of them, and one part of the
    dashboard `dashboard_seconds`: a page with a hole is worth more than a page that hangs. `cors_origins`, by comma,
    may call from a browser page of their own; nobody may by default. `traces_url` is a link for people.
    """

    users_url: AnyHttpUrl
    orders_url: AnyHttpUrl
    notifications_url: AnyHttpUrl
    request_seconds: float = Field(10.0, gt=0, le=60)
    upstream_seconds: float = Field(5.0, gt=0, le=60)
    dashboard_seconds: float = Field(1.0, gt=0, le=60)
    lookups_at_once: int = Field(10, ge=1, le=100)
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_by_comma)] = ()
    traces_url: AnyHttpUrl = AnyHttpUrl("http://localhost:16686")
