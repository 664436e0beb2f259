"""The connection pool with metrics: wait time, timeouts, and connections by state.

Metric names follow the semantic conventions for database clients.
"""

from time import perf_counter
from typing import Any
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.util.types import AttributeValue
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

_meter = metrics.get_meter(__name__)

_waits = _meter.create_histogram(
    "db.client.connection.wait_time",
    unit="s",
    description="Time until a connection of the pool was free",
    explicit_bucket_boundaries_advisory=[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3],
)
_timeouts = _meter.create_counter(
    "db.client.connection.timeouts", unit="{timeout}", description="Connections that were waited for in vain"
)


class MeasuredPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool for asyncio. The engine's `pool_logging_name` is the pool's name in metrics.

    `limit` is the highest number of connections at the same time, `waiting` the number of callers without one yet.
    """

    def __init__(self, creator: Any, pool_size: int = 5, max_overflow: int = 10, **options: Any) -> None:
        super().__init__(creator, pool_size=pool_size, max_overflow=max_overflow, **options)
        self.limit = pool_size + max_overflow
        self.waiting = 0

    @property
    def labels(self) -> dict[str, AttributeValue]:
        """The attribute that distinguishes this pool from others."""
        return {"db.client.connection.pool.name": self.logging_name or "unnamed"}

    def connect(self) -> PoolProxiedConnection:
        """Check a connection out and record how long it took, including the time to open a new one."""
        _pools.add(self)
        started = perf_counter()
        self.waiting += 1
        try:
            return super().connect()
        except PoolTimeoutError:
            _timeouts.add(1, self.labels)
            raise
        finally:
            self.waiting -= 1
            _waits.record(perf_counter() - started, self.labels)


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
    "db.client.connection.max", [_limits], unit="{connection}", description="Connections the pool may have"
)
_meter.create_observable_up_down_counter(
    "db.client.connection.pending_requests",
    [_pending],
    unit="{request}",
    description="Who waits for a connection of the pool",
)
