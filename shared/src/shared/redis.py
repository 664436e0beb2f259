"""One Redis client per process: bounded waits, a few retries over a reconnect, never a hang."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from opentelemetry.util.types import AttributeValue
from pydantic import RedisDsn
from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from shared.settings import RedisSettings

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
_PROBE_KEY = "readiness"
_PROBE_TTL_S = 60


class RedisConnection(Connection):
    """A connection that reports a closed transport as `redis.ConnectionError`.

    uvloop raises RuntimeError for a write to a transport that it has closed because of a reset. redis-py handles only
    OSError.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Send a command that is already encoded, and connect first if necessary.

        Raises:
            redis.ConnectionError: The connection was lost.
        """
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(str(error)) from error


def redis_client(url: RedisDsn | str, *, answer_timeout_s: float | None = ANSWER_TIMEOUT_S, retries: int = 2) -> Redis:
    """A client for commands that answer within `answer_timeout_s` seconds (None: may block, as XREADGROUP does).

    Replies are bytes. A broken connection is retried twice within about 0.3 s, then `redis.ConnectionError` rises;
    with `retries=0` it rises at once, for a subscriber that must know that it missed something.
    """
    client: Redis = Redis.from_url(
        str(url),
        connection_class=RedisConnection,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=answer_timeout_s,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), retries=retries),
        retry_on_error=[RedisConnectionError, ReadOnlyError] if retries else [],
    )
    return client


async def check_writable(redis: Redis) -> None:
    """Raise if Redis does not respond or rejects writes: out of memory, a replica, a failed save. For readiness."""
    await redis.set(_PROBE_KEY, b"", ex=_PROBE_TTL_S)


@asynccontextmanager
async def open_redis(settings: RedisSettings) -> AsyncIterator[Redis]:
    """The process's shared client, closed at the end. It connects at first use: Redis is not needed to start."""
    client = redis_client(settings.redis_url)
    try:
        yield client
    finally:
        await client.aclose()


def server_attributes(redis: Redis) -> dict[str, AttributeValue]:
    """Return the server's address as attributes of spans."""
    connection = redis.get_connection_kwargs()  # type: ignore[no-untyped-call]
    if "path" in connection:
        return {"server.address": connection["path"]}
    return {"server.address": connection.get("host", "localhost"), "server.port": connection.get("port", 6379)}
