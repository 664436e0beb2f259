"""The statements of placing an order with asyncpg alone: no HTTP, no validation, no SQLAlchemy, no telemetry.

`python -m bench.bare_orders` reads its task as JSON on standard input and writes an `Outcome` as JSON.
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
from orders.repository.catalog import RESERVE_STOCK
from orders.repository.orders import CLAIM_KEY, INSERT_ORDER
from shared.db.driver import DriverStatement
from shared.messaging.outbox import INSERT_EVENT

POOL = 10
"""The number of connections of the service: the defaults of DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW."""

_LINES = ("a", "b", "c")


async def fetch(connection: Any, statement: DriverStatement, **parameters: object) -> list[Any]:
    """Run one of the service's statements on asyncpg."""
    rows: list[Any] = await connection.fetch(statement.sql, *(parameters[name] for name in statement.parameters))
    return rows


async def place(connection: Any, number: int) -> None:
    """Place one order of three items in one transaction."""
    skus = [f"bench-{number % NUMBERS:03d}-{line}" for line in _LINES]
    order_id, user_id, key, now = uuid4(), UUID(int=1), uuid4().hex, datetime.now(UTC)
    lock = uuid4().int >> 65
    async with connection.transaction():
        await fetch(connection, CLAIM_KEY, lock=lock, user_id=user_id, key=key)
        products = await fetch(connection, RESERVE_STOCK, skus=skus, quantities=[1, 1, 1])
        prices = [product["unit_price_cents"] for product in products]
        await fetch(
            connection,
            INSERT_ORDER,
            id=order_id,
            user_id=user_id,
            status="placed",
            total_cents=sum(prices),
            currency="EUR",
            created_at=now,
            skus=skus,
            names=[product["name"] for product in products],
            quantities=[1, 1, 1],
            prices=prices,
            key=key,
            fingerprint=b"0" * 32,
            response=b"0" * 500,
        )
        await fetch(
            connection,
            INSERT_EVENT,
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


async def place_repeatedly(*, database_url: str, concurrency: int, effort: Effort) -> Outcome:
    """Place orders continuously, `concurrency` at a time."""
    latencies: list[float] = []
    placed = 0
    begin = time.perf_counter() + effort.warmup_seconds
    end = begin + effort.seconds

    async def keep_placing() -> None:
        nonlocal placed
        while (now := time.perf_counter()) < end or len(latencies) < concurrency:
            async with pool.acquire() as connection:
                placed += 1
                await place(connection, placed)
            if now >= begin:
                latencies.append(time.perf_counter() - now)

    async with asyncpg.create_pool(database_url, min_size=POOL, max_size=POOL) as pool:
        cpu = time.process_time()
        await asyncio.gather(*(keep_placing() for _ in range(concurrency)))
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
    task = json.load(sys.stdin)
    effort = Effort(**task.pop("effort"))
    print(json.dumps(asdict(uvloop.run(place_repeatedly(**task, effort=effort)))))


if __name__ == "__main__":
    _main()
