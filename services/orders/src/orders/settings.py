"""What this process is told by its environment."""

from pydantic import Field

from shared.settings import DatabaseSettings, JwksSettings, OutboxSettings, RedisSettings, ServiceSettings


class Settings(OutboxSettings, DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Settings of the orders service: one database, Redis for its events, and the keys that verify tokens.

    A retry gets the first answer for `idempotency_keys_kept_days`; after that its key names another order.
    """

    idempotency_keys_kept_days: float = Field(30, gt=0, le=3650)
