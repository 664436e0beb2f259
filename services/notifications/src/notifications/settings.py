"""Settings of the notifications service; durations are in seconds."""

from functools import lru_cache

from pydantic import Field, WebsocketUrl

from shared.settings import DatabaseSettings, JwksSettings, RedisSettings, ServiceSettings, load_settings


class Settings(DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Stores, keys and the limits of a WebSocket; connection limits are per process."""

    public_ws_url: WebsocketUrl = Field(
        WebsocketUrl("ws://localhost:8003/ws"), description="Public URL of the WebSocket, given out with each ticket"
    )
    ws_hello_seconds: float = Field(
        5.0, gt=0, le=60, description="Timeout of a new WebSocket's first frame, in seconds"
    )
    ws_ping_seconds: float = Field(
        15.0, gt=0, le=300, description="Heartbeat interval, in seconds; a lost publish is recovered within it"
    )
    ws_write_seconds: float = Field(
        10.0, gt=0, le=60, description="Time that one frame may wait for a slow reader, in seconds"
    )
    ws_connections_per_user: int = Field(10, ge=1, description="WebSockets of one user in one process")
    ws_connections: int = Field(10_000, ge=1, description="WebSockets of one process")
    ws_silent_connections: int = Field(
        2_500, ge=1, description="WebSockets of one process that have not sent their first frame"
    )
    ws_silent_connections_per_address: int = Field(
        500, ge=1, description="WebSockets of one client address that have not sent their first frame"
    )
    ws_frames_per_second: float = Field(
        20.0, ge=1, le=1000, description="Frames read from one WebSocket, on average, after a burst of 40; more wait"
    )
    ws_rooms_per_connection: int = Field(10, ge=0, le=100, description="Rooms that one WebSocket may join")
    ws_rooms: int = Field(1_000, ge=0, description="Rooms of one process")
    ws_room_members: int = Field(1_000, ge=1, description="WebSockets of one process in one room")
    ws_room_beat_seconds: float = Field(
        5.0,
        ge=0.1,
        le=60,
        description="Heartbeat of a room's viewers, in seconds; a killed process is counted for three heartbeats",
    )
    ws_drain_seconds: float = Field(
        3.0, ge=0, le=10, description="Time over which a draining process closes its WebSockets, in seconds"
    )
    ws_retry_ms: int = Field(
        5_000, ge=1, le=60_000, description="Longest reconnection delay in a drain frame, in milliseconds"
    )


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings; wrong ones end it with status 4."""
    return load_settings(Settings)
