"""Settings of the orders service."""

from functools import lru_cache

from pydantic import AliasChoices, Field

from shared.config import (
    DatabaseSettings,
    JwksSettings,
    OutboxSettings,
    PersistentObjectStoreSettings,
    RedisSettings,
    ServiceSettings,
    load_settings,
)


class Settings(
    PersistentObjectStoreSettings, OutboxSettings, DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings
):
    """Stores, keys, retention times and reports of the orders service."""

    idempotency_key_retention_days: float = Field(
        30,
        validation_alias=AliasChoices("idempotency_key_retention_days", "idempotency_keys_kept_days"),
        gt=0,
        le=3650,
        description="Retention of idempotency keys and their stored responses, in days",
    )
    report_longest_days: int = Field(366, ge=1, le=36_600, description="Longest period of one report, in days")
    report_timeout_hours: float = Field(
        24,
        validation_alias=AliasChoices("report_timeout_hours", "report_given_up_hours"),
        gt=0,
        le=8760,
        description="Timeout of a report that is not finished, in hours",
    )
    report_retention_days: float = Field(
        30,
        validation_alias=AliasChoices("report_retention_days", "report_kept_days"),
        gt=0,
        le=3650,
        description="Retention of finished reports, in days",
    )
    public_prefix: str = Field(
        "/v2", pattern="^(/[a-z0-9]+)*$", description="Path prefix of the gateway's API, for links in responses"
    )


@lru_cache
def get_settings() -> Settings:
    """Return the settings of the process. Invalid settings end it with status 4."""
    return load_settings(Settings)
