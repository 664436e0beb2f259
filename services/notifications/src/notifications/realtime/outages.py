"""What is raised when a store is away. A socket outlives it: it logs a line and is healed by a later heartbeat."""

from typing import Final

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

AWAY: Final = (OSError, RedisError, DBAPIError, PoolTimeoutError)
"""OSError includes TimeoutError, which asyncio.timeout raises."""
