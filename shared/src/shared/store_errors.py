"""What the stores' clients raise, and which of it means that a store cannot serve this now (ADR 29).

An error that means so says nothing about the request, event or job at hand: services respond 503, workers and consumers
wait and repeat.
"""

import re
from typing import Final

from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

DATABASE_ERRORS: Final = (OSError, DBAPIError, PoolTimeoutError)
"""Everything that a session can raise for PostgreSQL. OSError includes TimeoutError, which asyncio.timeout raises."""

REDIS_ERRORS: Final = (OSError, RedisError)
"""Everything that a Redis client can raise."""

STORE_ERRORS: Final = (OSError, DBAPIError, PoolTimeoutError, RedisError)
"""Both. For code that survives any failure of a store, whatever its cause."""

CONTENTION: Final = ("40001", "40P01", "55P03")
"""Serialization failure, deadlock, lock timeout: other transactions hold what the statement needs."""

_SERVER_UNAVAILABLE: Final = (
    "08",  # connection exceptions
    "25006",  # read-only transaction: a standby, or a primary that was demoted
    "25P03",  # idle in transaction for too long: the server ended the connection
    "25P04",  # transaction timeout: likewise
    "40003",  # statement completion unknown
    "53",  # insufficient resources: disk full, out of memory, too many connections
    "57P",  # operator intervention: shutdown, crash, start, dropped database, idle session
    "58000",  # system error
    "58030",  # I/O error
)
"""How SQLSTATEs begin by which a server rejects statements of any client (PostgreSQL documentation, appendix A)."""

_REFUSES_WORK: Final = re.compile(
    r"(?:^|\(['\"])"
    r"(?:BUSY|CLUSTERDOWN|FAILOVER|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN|UNBLOCKED|UNKILLABLE) "
)
"""Error codes of Redis and Valkey. redis-py has classes for some; a pipeline quotes the error in brackets."""


def sqlstate_of(error: BaseException) -> str:
    """Return PostgreSQL's code of an error of SQLAlchemy or asyncpg; empty if it has none."""
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None) or ""


def is_contention(error: BaseException) -> bool:
    """Return whether other transactions kept PostgreSQL from executing a statement in time."""
    return sqlstate_of(error) in CONTENTION


def server_is_unavailable(error: BaseException) -> bool:
    """Return whether PostgreSQL rejected the statement for a reason that holds for all of this server's clients."""
    return sqlstate_of(error).startswith(_SERVER_UNAVAILABLE)


def database_is_unavailable(error: BaseException) -> bool:
    """Return whether PostgreSQL cannot serve this now: it is away, rejects work, or no lock or connection was free."""
    if isinstance(error, OperationalError | InterfaceError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, PoolTimeoutError) or server_is_unavailable(error) or is_contention(error)


def redis_is_unavailable(error: BaseException) -> bool:
    """Return whether Redis cannot serve this now: it is away, out of memory, read-only, loading or busy."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return True
    if isinstance(error, OutOfMemoryError | ReadOnlyError | ClusterDownError | TryAgainError):
        return True
    return isinstance(error, RedisError) and _REFUSES_WORK.search(str(error)) is not None


def store_is_unavailable(error: BaseException) -> bool:
    """Return whether a store cannot serve this now. OSError counts: it is a connection or a disk that failed."""
    return isinstance(error, OSError) or database_is_unavailable(error) or redis_is_unavailable(error)
