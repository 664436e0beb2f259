"""What this process can be told; durations are in seconds."""

from pydantic import Field, WebsocketUrl

from shared.settings import DatabaseSettings, JwksSettings, RedisSettings, ServiceSettings


class Settings(DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Stores, keys, and the limits of a WebSocket.

    `ws_ping_seconds` also bounds how long a lost publish stays unseen. `ws_write_seconds` is how long one frame may
    wait for a reader before the socket counts as slow. The three connection limits are per process; `silent` ones have
    not said hello.
    """

    public_ws_url: WebsocketUrl = WebsocketUrl("ws://localhost:8003/ws")
    ws_hello_seconds: float = Field(5.0, gt=0, le=60)
    ws_ping_seconds: float = Field(15.0, gt=0, le=300)
    ws_write_seconds: float = Field(10.0, gt=0, le=60)
    ws_connections_per_user: int = Field(10, ge=1)
    ws_connections: int = Field(10_000, ge=1)
    ws_silent_connections: int = Field(2_500, ge=1)
    ws_drain_seconds: float = Field(3.0, ge=0, le=10, description="over which a draining process closes its sockets")
    ws_retry_ms: int = Field(5_000, ge=1, le=60_000, description="longest wait that a drain frame asks for")
