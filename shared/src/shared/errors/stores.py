"""Errors of PostgreSQL and Redis, and which of them mean that the store is unavailable (ADR 29).

Such an error is not caused by the current request, event or job: services respond 503, workers and consumers retry.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from structlog.typing import FilteringBoundLogger

DATABASE_ERRORS: Final = (OSError, DBAPIError, PoolTimeoutError)
"""Errors that a session raises for PostgreSQL. OSError includes TimeoutError, which asyncio.timeout raises."""

REDIS_ERRORS: Final = (OSError, RedisError)
"""Errors that a Redis client raises."""

STORE_ERRORS: Final = (OSError, DBAPIError, PoolTimeoutError, RedisError)
"""Errors of PostgreSQL and Redis, for code that continues after any failure of a store."""

CONTENTION: Final = ("40001", "40P01", "55P03")
"""Serialization failure, deadlock, lock timeout: other transactions hold locks that the statement needs."""

_STATEMENT_TIMEOUT: Final = "57014"
"""Query canceled, also because of `statement_timeout`."""

_SERVER_UNAVAILABLE: Final = (
    "08",  # connection exceptions
    "25006",  # read-only transaction: a standby, or a primary that was demoted
    "25P03",  # idle in transaction timeout: the server closed the connection
    "25P04",  # transaction timeout: the same
    "40003",  # statement completion unknown
    "53",  # insufficient resources: disk full, out of memory, too many connections
    "57P",  # operator intervention: shutdown, crash, start, dropped database, idle session
    "58000",  # system error
    "58030",  # I/O error
)
"""SQLSTATE prefixes with which a server rejects statements of all clients (PostgreSQL documentation, appendix A)."""

_CONNECTION_GONE: Final = re.compile(r"connection is closed|pool is (?:closing|closed)")
"""Messages of asyncpg's InterfaceError for a lost connection. Its other messages mean a wrong use of asyncpg."""

_CONNECTION_FAILURES: Final = ConnectionError | TimeoutError | socket.gaierror | ssl.SSLError
"""Subclasses of OSError that mean a failed connection, including its name resolution and TLS."""

_UNAVAILABLE_ERRNOS: Final = frozenset(
    {
        # the network
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EADDRNOTAVAIL,  # no free local port
        errno.EADDRINUSE,  # the same, if the local address is bound first
        errno.ENOTCONN,
        # resources of the process or the host
        errno.EAGAIN,  # also the full backlog of a Unix socket
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        # the disk
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.ESTALE,
    }
)
"""Error numbers of failures that affect all users of a network, a host or a disk."""

_REJECTED: Final = re.compile(
    r"(?:^|\(['\"])"
    r"(?:BUSY|CLUSTERDOWN|FAILOVER|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN|UNBLOCKED|UNKILLABLE) "
)
"""Error codes with which Redis and Valkey reject commands of all clients; redis-py has classes for some of them.

The error of a pipeline contains the quoted error in parentheses.
"""


def sqlstate_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error of SQLAlchemy or asyncpg; empty without one."""
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None) or ""


def is_contention(error: BaseException) -> bool:
    """Return whether a statement failed because of other transactions' locks."""
    return sqlstate_of(error) in CONTENTION


def is_statement_timeout(error: BaseException) -> bool:
    """Return whether PostgreSQL cancelled the statement at its deadline (`statement_timeout`)."""
    return sqlstate_of(error) == _STATEMENT_TIMEOUT


def server_is_unavailable(error: BaseException) -> bool:
    """Return whether PostgreSQL rejected the statement for a reason that affects all clients of the server."""
    return sqlstate_of(error).startswith(_SERVER_UNAVAILABLE)


def database_is_unavailable(error: BaseException) -> bool:
    """Return whether PostgreSQL is unreachable or rejects statements, or a lock or connection was not free in time."""
    if isinstance(error, OperationalError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, InterfaceError | asyncpg.InterfaceError):
        driver_error = error.orig if isinstance(error, InterfaceError) else error
        return _CONNECTION_GONE.search(str(driver_error)) is not None
    return isinstance(error, PoolTimeoutError) or server_is_unavailable(error) or is_contention(error)


def redis_is_unavailable(error: BaseException) -> bool:
    """Return whether Redis is unreachable, out of memory, read-only, loading or busy."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return True
    if isinstance(error, OutOfMemoryError | ReadOnlyError | ClusterDownError | TryAgainError):
        return True
    return isinstance(error, RedisError) and _REJECTED.search(str(error)) is not None


def system_is_unavailable(error: BaseException) -> bool:
    """Return whether an OSError means that a connection, a disk or a resource of the host failed.

    Other subclasses, such as FileNotFoundError, are not caused by an outage. If all addresses of a host fail, asyncio
    and uvloop raise an OSError without a number.
    """
    if isinstance(error, _CONNECTION_FAILURES):
        return True
    return isinstance(error, OSError) and (
        error.errno in _UNAVAILABLE_ERRNOS or (error.errno is None and type(error) is OSError)
    )


def store_is_unavailable(error: BaseException) -> bool:
    """Return whether a store is unavailable."""
    return system_is_unavailable(error) or database_is_unavailable(error) or redis_is_unavailable(error)


@contextmanager
def connecting(server: str) -> Iterator[None]:
    """Raise ConnectionError for an OSError of the block that opens a connection to `server`.

    For a missing Unix socket the block raises FileNotFoundError, and for a firewall PermissionError. In other code
    these errors do not mean an outage.
    """
    try:
        yield
    except OSError as error:
        if system_is_unavailable(error):
            raise
        raise ConnectionError(f"cannot connect to {server}: {error}") from error


def is_store_bug(error: BaseException) -> bool:
    """Return whether one of STORE_ERRORS is caused by the code, such as an unknown column, WRONGTYPE or a missing file.

    Locks, deadlines and unavailable stores are not bugs.
    """
    if store_is_unavailable(error) or is_statement_timeout(error):
        return False
    return isinstance(error, STORE_ERRORS)


def log_store_failure(log: FilteringBoundLogger, event: str, error: Exception, **fields: object) -> None:
    """Log an operation that failed with one of STORE_ERRORS, for code that continues without it.

    A bug is logged as an error with its stack trace, any other failure as a warning. Call this function within
    `except`.
    """
    is_bug = is_store_bug(error)
    write = log.error if is_bug else log.warning
    write(event, error=f"{type(error).__name__}: {error}", exc_info=is_bug, **fields)
