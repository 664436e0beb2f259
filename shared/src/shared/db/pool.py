"""The connection pool: it replaces stale connections and measures wait time, timeouts and connections by state.

Metric names follow the semantic conventions for database clients.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, perf_counter
from typing import Any, Final
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.util.types import AttributeValue
from sqlalchemy import event
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, Pool, PoolProxiedConnection

from shared.errors.stores import server_is_unavailable

STALE_PAUSE_S = 1.0
"""Minimum time between two invalidations, so that a server that rejects all statements causes only one per second."""

_UNUSED: Final = "pool.unused"
"""Key in `ConnectionPoolEntry.info` that a connection has until its first checkout."""

_meter = metrics.get_meter(__name__)

_waits = _meter.create_histogram(
    "db.client.connection.wait_time",
    unit="s",
    description="Time until a connection of the pool was free",
    explicit_bucket_boundaries_advisory=[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3],
)
_timeouts = _meter.create_counter(
    "db.client.connection.timeouts", unit="{timeout}", description="Waits for a connection that timed out"
)


class MeasuredPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool for asyncio with metrics. The engine's `pool_logging_name` is the pool's name in metrics.

    `limit` is the maximum number of connections, `waiting` the number of callers that wait for one. `labels` are the
    attributes of the metrics.
    """

    def __init__(self, creator: Any, pool_size: int = 5, max_overflow: int = 10, **options: Any) -> None:
        super().__init__(creator, pool_size=pool_size, max_overflow=max_overflow, **options)
        self.limit = pool_size + max_overflow
        self.waiting = 0
        self.labels: dict[str, AttributeValue] = {"db.client.connection.pool.name": self.logging_name or "unnamed"}
        self._is_stale = False
        self._stale_again_at = 0.0
        event.listen(self, "connect", _mark_unused)
        event.listen(self, "checkout", self._reject_stale)

    def mark_stale(self, *, pause_s: float = STALE_PAUSE_S) -> None:
        """Replace all current connections, each at its next checkout, because they may lead to a demoted primary.

        Later calls have no effect for `pause_s` seconds.
        """
        if monotonic() >= self._stale_again_at:
            self._stale_again_at = monotonic() + pause_s
            self._is_stale = True

    def _reject_stale(self, connection: AdaptedConnection, record: ConnectionPoolEntry, _: object) -> None:
        """Replace this connection if the server has closed it, or all connections if they are stale.

        Listener of the `checkout` event. asyncpg has already read the end of the stream, so this needs no round
        trip, unlike `pool_pre_ping` (ADR 25). A new connection is always accepted: the pool raises InvalidRequestError
        if two connections are rejected.
        """
        if record.info.pop(_UNUSED, False):
            return
        if self._is_stale:
            self._is_stale = False
            raise InvalidatePoolError
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    def connect(self) -> PoolProxiedConnection:
        """Check out a connection and record the wait, including the time to open a new one."""
        _pools.add(self)
        with self.measure_wait():
            return super().connect()

    @contextmanager
    def measure_wait(self) -> Iterator[None]:
        """Record the block as a wait for a connection, and its PoolTimeoutError as a timeout."""
        started = perf_counter()
        self.waiting += 1
        try:
            yield
        except PoolTimeoutError:
            _timeouts.add(1, self.labels)
            raise
        finally:
            self.waiting -= 1
            _waits.record(perf_counter() - started, self.labels)


def _mark_unused(_: AdaptedConnection, record: ConnectionPoolEntry) -> None:
    """Mark a new connection. Listener of the `connect` event."""
    record.info[_UNUSED] = True


def mark_stale_if_unavailable(pool: Pool, error: BaseException) -> None:
    """Mark the pool stale if the server rejected a statement for a reason that affects all clients."""
    if isinstance(pool, MeasuredPool) and server_is_unavailable(error):
        pool.mark_stale()


_pools: WeakSet[MeasuredPool] = WeakSet()
"""The pools that have checked out a connection."""

_STATE = "db.client.connection.state"


def _connections(_options: CallbackOptions) -> list[Observation]:
    idle = [Observation(pool.checkedin(), {**pool.labels, _STATE: "idle"}) for pool in list(_pools)]
    return idle + [Observation(pool.checkedout(), {**pool.labels, _STATE: "used"}) for pool in list(_pools)]


def _limits(_options: CallbackOptions) -> list[Observation]:
    return [Observation(pool.limit, pool.labels) for pool in list(_pools)]


def _pending(_options: CallbackOptions) -> list[Observation]:
    return [Observation(pool.waiting, pool.labels) for pool in list(_pools)]


_meter.create_observable_up_down_counter(
    "db.client.connection.count", [_connections], unit="{connection}", description="Connections of the pool by state"
)
_meter.create_observable_up_down_counter(
    "db.client.connection.max", [_limits], unit="{connection}", description="Maximum number of connections of the pool"
)
_meter.create_observable_up_down_counter(
    "db.client.connection.pending_requests",
    [_pending],
    unit="{request}",
    description="Callers that wait for a connection of the pool",
)
