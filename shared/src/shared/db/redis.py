"""The Redis client, with timeouts, and with retries of commands that lose their connection."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry.util.types import AttributeValue
from pydantic import RedisDsn
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from shared.config import ConfigurationError, RedisSettings

CONNECT_TIMEOUT_S = 2.0
RESPONSE_TIMEOUT_S = 5.0
_PROBE_KEY = "readiness"
_PROBE_TTL_S = 60


class _ClosedTransportMixin(AbstractConnection):
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


class RedisConnection(_ClosedTransportMixin, Connection):
    """The connection for `redis://` URLs."""


class RedisTlsConnection(_ClosedTransportMixin, SSLConnection):
    """The connection for `rediss://` URLs."""


class RedisUnixConnection(_ClosedTransportMixin, UnixDomainSocketConnection):
    """The connection for `unix://` URLs."""


_CONNECTION_CLASSES: Mapping[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: RedisConnection,
    SSLConnection: RedisTlsConnection,
    UnixDomainSocketConnection: RedisUnixConnection,
}


class RedisPool(ConnectionPool):
    """A pool of connections of the classes above. `from_url` passes the class of redis-py that fits the URL."""

    def __init__(self, connection_class: type[AbstractConnection] = Connection, **options: Any) -> None:
        super().__init__(_CONNECTION_CLASSES[connection_class], **options)


def create_redis(
    url: RedisDsn | str, *, response_timeout_s: float | None = RESPONSE_TIMEOUT_S, retries: int = 2
) -> Redis:
    """Return a client whose commands time out after `response_timeout_s` (None for blocking commands).

    Responses are bytes. A command that loses its connection, or that a replica rejects, is sent again up to `retries`
    times, by default within about 0.3 s. A command that cannot open a connection fails immediately. A subscriber uses
    `retries=0`, because it has to detect that it missed messages.
    """
    pool = RedisPool.from_url(
        str(url),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=response_timeout_s,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), retries=retries),
        retry_on_error=[RedisConnectionError, ReadOnlyError] if retries else [],
    )
    return Redis.from_pool(pool)


async def check_writable(redis: Redis) -> None:
    """Raise if Redis does not respond or rejects writes (out of memory, a replica, a failed save). For readiness."""
    await redis.set(_PROBE_KEY, b"", ex=_PROBE_TTL_S)


@asynccontextmanager
async def open_redis(settings: RedisSettings) -> AsyncIterator[Redis]:
    """Open the client of a process. It connects at its first command, so a process also starts without Redis.

    Raises:
        ConfigurationError: redis-py rejects an option of REDIS_URL.
    """
    try:
        client = create_redis(settings.redis_url)
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # does not connect
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"REDIS_URL: {error}") from error
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
