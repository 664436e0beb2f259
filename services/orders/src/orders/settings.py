"""What this process is told by its environment."""

from pydantic import Field

from shared.settings import (
    DatabaseSettings,
    JwksSettings,
    LastingObjectStoreSettings,
    OutboxSettings,
    RedisSettings,
    ServiceSettings,
)


class Settings(
    LastingObjectStoreSettings, OutboxSettings, DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings
):
    """Settings of the orders service: one database, Redis for its events, the keys that verify tokens, and reports.

    A retry gets the first answer for `idempotency_keys_kept_days`; after that its key names another order. A report may
    cover `report_longest_days`, has failed where it is not done within `report_given_up_hours`, and is kept for
    `report_kept_days` after it was finished. `public_prefix` is what the
    gateway puts before a path, for the links that this service gives away.
    """

    idempotency_keys_kept_days: float = Field(30, gt=0, le=3650)
    report_longest_days: int = Field(366, ge=1, le=36_600)
    report_given_up_hours: float = Field(24, gt=0, le=8760)
    report_kept_days: float = Field(30, gt=0, le=3650)
    public_prefix: str = Field("/v2", pattern="^(/[a-z0-9]+)*$")
