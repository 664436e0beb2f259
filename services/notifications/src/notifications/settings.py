"""Settings of the notifications service; durations are in seconds."""

from functools import lru_cache

from pydantic import Field

from shared.config import (
    DatabaseSettings,
    JwksSettings,
    RedisSettings,
    ServiceSettings,
    WebsocketSettings,
    load_settings,
)


class Settings(WebsocketSettings, DatabaseSettings, RedisSettings, JwksSettings, ServiceSettings):
    """Stores, keys and WebSocket limits. Connection limits are per process."""

    ws_hello_seconds: float = Field(
        5.0, gt=0, le=60, description="Timeout of a new WebSocket's first frame, in seconds"
    )
    ws_ping_seconds: float = Field(
        15.0, gt=0, le=300, description="Heartbeat interval, in seconds; a lost publish is recovered within this time"
    )
    ws_write_seconds: float = Field(
        10.0, gt=0, le=60, description="Timeout of writing one frame to a slow reader, in seconds"
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
        20.0, ge=1, le=1000, description="Average rate at which frames of one WebSocket are read, after a burst of 40"
    )
    ws_rooms_per_connection: int = Field(10, ge=0, le=100, description="Rooms that one WebSocket may join")
    ws_rooms: int = Field(1_000, ge=0, description="Rooms of one process")
    ws_room_members: int = Field(1_000, ge=1, description="WebSockets of one process in one room")
    ws_room_beat_seconds: float = Field(
        5.0,
        ge=0.1,
        le=60,
        description="Heartbeat interval of room viewers, in seconds; a killed process is counted for three intervals",
    )
    ws_drain_seconds: float = Field(
        3.0, ge=0, le=4, description="Time over which a draining process closes its WebSockets, in seconds"
    )
    ws_retry_ms: int = Field(
        5_000, ge=1, le=60_000, description="Longest reconnection delay in a drain frame, in milliseconds"
    )


@lru_cache
def get_settings() -> Settings:
    """Return the settings of the process. Invalid settings end it with status 4."""
    return load_settings(Settings)
