"""How far events are behind, as metrics: told by the relay that leads and by each consumer."""

import asyncio

import asyncpg
import sqlalchemy as sa
from opentelemetry.util.types import AttributeValue
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events.deadletters import DEAD_LETTERS
from shared.events.stats import stream_stats
from shared.gauges import Gauge

LOOK_S = 5.0

_DESTINATION, _GROUP = "messaging.destination.name", "messaging.consumer.group.name"

_depth = Gauge("hopline.outbox.depth", unit="{event}", description="Committed events that the stream does not have")
_age = Gauge("hopline.outbox.age", unit="s", description="Age of the oldest of them")
_lag = Gauge("hopline.stream.lag", unit="{event}", description="Events that a consumer group has not been handed")
_pending = Gauge("hopline.stream.pending", unit="{event}", description="Events handed out and not acknowledged")
_letters = Gauge("hopline.dead_letters", unit="{event}", description="Dead letters that wait for somebody to decide")

_WAITING = """
SELECT count(*) AS depth, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age
FROM outbox WHERE pub_seq IS NULL OR pub_seq > $1
"""


class Backlog:
    """What the relay of `stream` tells while it leads; remembers what was shipped, also while Redis is away."""

    def __init__(self, *, redis: Redis, stream: str) -> None:
        self._redis = redis
        self._stream = stream
        self._shipped: int | None = None
        self._look_at = 0.0

    async def look(self, connection: "asyncpg.Connection[asyncpg.Record]", *, shipped: int | None) -> None:
        """Look, every 5 s at most; raises what the stores raise. `shipped` is None where the relay has yet to ask."""
        self._shipped = self._shipped if shipped is None else shipped
        now = asyncio.get_running_loop().time()
        if self._shipped is None or now < self._look_at:
            return
        self._look_at = now + LOOK_S
        labels: dict[str, AttributeValue] = {_DESTINATION: self._stream}
        waiting = await connection.fetchrow(_WAITING, self._shipped)
        _depth.set(waiting["depth"] if waiting else 0, labels)
        _age.set(waiting["age"] if waiting else 0, labels)
        for group in (await stream_stats(self._redis, self._stream)).groups:
            _lag.set(group.lag, {**labels, _GROUP: group.name})
            _pending.set(group.pending, {**labels, _GROUP: group.name})


async def look_for_dead_letters(session: AsyncSession, *, group: str, stream: str) -> None:
    """Count the open dead letters of one consumer group; one look-up in a partial index."""
    open_ = sa.select(sa.func.count()).where(
        DEAD_LETTERS.c.consumer == group, DEAD_LETTERS.c.stream == stream, DEAD_LETTERS.c.replayed_at.is_(None)
    )
    _letters.set(await session.scalar(open_) or 0, {_DESTINATION: stream, _GROUP: group})
