"""Metrics of the backlog, recorded by the leading relay and by each consumer."""

import asyncio

import asyncpg
import sqlalchemy as sa
from opentelemetry.util.types import AttributeValue
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging.dead_letters import DEAD_LETTERS
from shared.messaging.low_water_mark import HEAD_SEQ
from shared.messaging.stats import get_stream_stats
from shared.telemetry.gauges import Gauge

INTERVAL_S = 5.0

_DESTINATION, _GROUP = "messaging.destination.name", "messaging.consumer.group.name"

_depth = Gauge("hopline.outbox.depth", unit="{event}", description="Committed events that are not in the stream yet")
_age = Gauge("hopline.outbox.age", unit="s", description="Age of the oldest event that is not in the stream yet")
_lag = Gauge(
    "hopline.stream.lag", unit="{event}", description="Events that were not delivered to the consumer group yet"
)
_pending = Gauge(
    "hopline.stream.pending", unit="{event}", description="Events that were delivered and not acknowledged"
)
_dead_letters = Gauge("hopline.dead_letters", unit="{event}", description="Open dead letters")

_WAITING = """
SELECT count(*) AS depth, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age
FROM outbox WHERE pub_seq IS NULL OR pub_seq > $1
"""


class BacklogMetrics:
    """Metrics of the leading relay of `stream`. During an outage of Redis they use the last known end of the stream."""

    def __init__(self, *, redis: Redis, stream: str) -> None:
        self._redis = redis
        self._stream = stream
        self._appended: int | None = None
        self._update_at = 0.0

    def reset(self) -> None:
        """Discard the known end of the stream, because another relay leads and appends events."""
        self._appended = None

    async def update(self, connection: "asyncpg.Connection[asyncpg.Record]", *, appended: int | None) -> None:
        """Update the metrics at most every 5 s.

        `appended` is the sequence of the last entry of the stream, or None before the relay has read the stream. A
        relay that becomes the leader while Redis is unavailable cannot read it. Until it can, the events that have a
        sequence at its first update count as appended. That may be wrong for the last batch of the previous leader.
        """
        self._appended = self._appended if appended is None else appended
        now = asyncio.get_running_loop().time()
        if now < self._update_at:
            return
        if self._appended is None:
            self._appended = await connection.fetchval(f"SELECT {HEAD_SEQ}")
        self._update_at = now + INTERVAL_S
        labels: dict[str, AttributeValue] = {_DESTINATION: self._stream}
        waiting = await connection.fetchrow(_WAITING, self._appended)
        _depth.set(waiting["depth"] if waiting else 0, labels)
        _age.set(waiting["age"] if waiting else 0, labels)
        for group in (await get_stream_stats(self._redis, self._stream)).groups:
            _lag.set(group.lag, {**labels, _GROUP: group.name})
            _pending.set(group.pending, {**labels, _GROUP: group.name})


async def record_open_dead_letters(session: AsyncSession, *, group: str, stream: str) -> None:
    """Record the number of open dead letters of a consumer group, by one query on a partial index."""
    open_ = sa.select(sa.func.count()).where(
        DEAD_LETTERS.c.consumer == group, DEAD_LETTERS.c.stream == stream, DEAD_LETTERS.c.replayed_at.is_(None)
    )
    _dead_letters.set(await session.scalar(open_) or 0, {_DESTINATION: stream, _GROUP: group})
