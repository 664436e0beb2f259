"""The speed at which the relay appends a backlog of the outbox to the stream, as after an outage of Redis."""

import asyncio
import time
from collections.abc import Mapping
from statistics import median

import asyncpg
from redis.asyncio import Redis

from bench.configurations import DROP_INS, STANDARD
from bench.dashboard import open_fakes
from bench.figures import Benchmark, Effort, Figure, at_least
from bench.orders import open_orders
from bench.stage import Stage
from testkit.tokens import TokenIssuer

EVENTS = 30_000
STREAM = "events:orders"
_TIMEOUT_S = 120.0
_INSERT_EVENTS = """
    INSERT INTO outbox (id, source, type, subject, time, data, traceparent)
    SELECT gen_random_uuid(), '/hopline/orders', 'hopline.order.placed.v1', gen_random_uuid()::text, now(),
           jsonb_build_object('order_id', gen_random_uuid(), 'user_id', gen_random_uuid(), 'status', 'placed',
                              'items', jsonb_build_array(jsonb_build_object('sku', 'bench', 'name', 'A mug',
                                                                            'quantity', 1, 'unit_price_cents', 1290)),
                              'total_cents', 1290, 'currency', 'EUR', 'created_at', now()),
           format('00-%s-%s-01', md5(n::text), left(md5(n::text), 16))
    FROM generate_series(1, $1) AS n
"""
"""Events of placed orders, each in a separate trace."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Measure the relay of the orders service, with telemetry, in two configurations. Each round adds a backlog."""
    figures: list[Figure] = []
    for name, configuration, target in (("standard", STANDARD, 5_000), ("drop-ins", DROP_INS, 10_000)):
        figures += await _measure_configuration(stage, effort, name, configuration, target)
    return figures


async def _measure_configuration(
    stage: Stage, effort: Effort, name: str, configuration: Mapping[str, str], target: float
) -> list[Figure]:
    """Measure one configuration on separate databases; its service ends before the next one starts."""
    fakes = await open_fakes(stage, TokenIssuer())
    database_url, redis_url = await stage.open_database("orders"), await stage.open_redis_database()
    service = await open_orders(stage, fakes, database_url, **configuration, REDIS_URL=redis_url)
    events = effort.amount(EVENTS)
    rates = [await _append_backlog(database_url, redis_url, events) for _ in range(effort.rounds)]
    await asyncio.to_thread(service.stop)
    return [
        Figure(name=f"{name}: backlog", value=median(rates), unit="events/s", target=at_least(target)),
        Figure(name=f"{name}: slowest round", value=min(rates), unit="events/s"),
    ]


async def _append_backlog(database_url: str, redis_url: str, events: int) -> float:
    """Commit a backlog and wake the relay; return events per second until all are in the stream."""
    connection = await asyncpg.connect(database_url)
    async with Redis.from_url(redis_url) as redis, asyncio.timeout(_TIMEOUT_S):
        expected_length = await redis.xlen(STREAM) + events
        await connection.execute(_INSERT_EVENTS, events)
        began = time.perf_counter()
        await connection.execute("NOTIFY outbox")
        await connection.close()
        while await redis.xlen(STREAM) < expected_length:  # noqa: ASYNC110 - Redis does not notify of a stream's length
            await asyncio.sleep(0.002)
        return events / (time.perf_counter() - began)


BENCHMARK = Benchmark(name="relay", measures="a backlog of traced events, from the outbox into the stream", run=run)
