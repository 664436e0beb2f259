"""The statements of placing an order, by asyncpg and nothing else: no HTTP, no checks, no SQLAlchemy, no telemetry.

`python -m bench.bare_orders` reads what to do as JSON on standard input and writes an `Outcome` as JSON.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop

from bench.figures import Effort
from bench.load import NUMBERS, Outcome, quantile
from orders.repository.catalog import RESERVE
from orders.repository.orders import CLAIM, RECORD
from shared.driver import DriverStatement
from shared.events.outbox import PUBLISH

POOL = 10
"""As many connections as the service may open: DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW by default."""

_LINES = ("a", "b", "c")


async def fetch(connection: Any, statement: DriverStatement, **parameters: object) -> list[Any]:
    """Run one of the service's own statements, as asyncpg does."""
    rows: list[Any] = await connection.fetch(statement.sql, *(parameters[name] for name in statement.parameters))
    return rows


async def place(connection: Any, number: int) -> None:
    """One order of three lines, one transaction."""
    skus = [f"bench-{number % NUMBERS:03d}-{line}" for line in _LINES]
    order_id, user_id, key, now = uuid4(), UUID(int=1), uuid4().hex, datetime.now(UTC)
    lock = uuid4().int >> 65
    async with connection.transaction():
        await fetch(connection, CLAIM, lock=lock, user_id=user_id, key=key)
        offers = await fetch(connection, RESERVE, skus=skus, quantities=[1, 1, 1])
        prices = [offer["unit_price_cents"] for offer in offers]
        await fetch(
            connection,
            RECORD,
            id=order_id,
            user_id=user_id,
            status="placed",
            total_cents=sum(prices),
            currency="EUR",
            created_at=now,
            skus=skus,
            names=[offer["name"] for offer in offers],
            quantities=[1, 1, 1],
            prices=prices,
            key=key,
            fingerprint=b"0" * 32,
            response=b"0" * 500,
        )
        await fetch(
            connection,
            PUBLISH,
            id=uuid4(),
            source="/hopline/orders",
            type="hopline.order.placed.v1",
            subject=str(order_id),
            time=now,
            data=json.dumps({"order_id": str(order_id), "padding": "0" * 400}),
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            tracestate=None,
            baggage=None,
        )


async def place_for_a_while(*, database_url: str, at_once: int, effort: Effort) -> Outcome:
    """Place orders, `at_once` at a time, as often as it goes."""
    latencies: list[float] = []
    placed = 0
    begin = time.perf_counter() + effort.warmup_seconds
    end = begin + effort.seconds

    async def keep_placing() -> None:
        nonlocal placed
        while (now := time.perf_counter()) < end or len(latencies) < at_once:
            async with pool.acquire() as connection:
                placed += 1
                await place(connection, placed)
            if now >= begin:
                latencies.append(time.perf_counter() - now)

    async with asyncpg.create_pool(database_url, min_size=POOL, max_size=POOL) as pool:
        cpu = time.process_time()
        await asyncio.gather(*(keep_placing() for _ in range(at_once)))
        cpu_seconds = time.process_time() - cpu
    seconds = time.perf_counter() - begin
    ordered = sorted(latencies)
    return Outcome(
        requests=len(ordered),
        requests_with_warmup=placed,
        failures=0,
        seconds=seconds,
        p50_ms=quantile(ordered, 0.5) * 1000,
        p99_ms=quantile(ordered, 0.99) * 1000,
        cpu_share=cpu_seconds / (seconds + effort.warmup_seconds),
    )


def _main() -> None:
    asked = json.load(sys.stdin)
    effort = Effort(**asked.pop("effort"))
    print(json.dumps(asdict(uvloop.run(place_for_a_while(**asked, effort=effort)))))


if __name__ == "__main__":
    _main()
