"""What this process is told by its environment."""

from pydantic import Field

from shared.settings import DatabaseSettings, JwksSettings, RedisSettings, ServiceSettings


class Settings(DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Settings of the orders service.

    `public_prefix` is where the gateway mounts this API: a `Location` is for the gateway's clients, who can not reach
    this service, and the gateway passes it on as it is.
    """

    public_prefix: str = Field("/v2", pattern=r"^(/[a-z0-9]+)*$")
