"""Settings of the orders service."""

from functools import lru_cache

from pydantic import Field

from shared.settings import (
    DatabaseSettings,
    JwksSettings,
    LastingObjectStoreSettings,
    OutboxSettings,
    RedisSettings,
    ServiceSettings,
    load_settings,
)


class Settings(
    LastingObjectStoreSettings, OutboxSettings, DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings
):
    """Stores, keys, retention and reports of the orders service."""

    idempotency_keys_kept_days: float = Field(
        30, gt=0, le=3650, description="Retention of idempotency keys and their stored responses, in days"
    )
    report_longest_days: int = Field(366, ge=1, le=36_600, description="Longest period of one report, in days")
    report_given_up_hours: float = Field(
        24, gt=0, le=8760, description="Timeout of a report: it has failed if it is not finished by then, in hours"
    )
    report_kept_days: float = Field(30, gt=0, le=3650, description="Retention of finished reports, in days")
    public_prefix: str = Field(
        "/v2", pattern="^(/[a-z0-9]+)*$", description="Path prefix of the gateway's API, for links in responses"
    )


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings; wrong ones end it with status 4."""
    return load_settings(Settings)
