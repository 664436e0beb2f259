"""What this process is told by its environment."""

from shared.settings import DatabaseSettings, JwksSettings, RedisSettings, ServiceSettings


class Settings(DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Settings of the orders service: one database, Redis for its events, and the keys that verify tokens."""
