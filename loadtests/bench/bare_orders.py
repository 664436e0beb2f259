"""The statements of placing an order with asyncpg alone: no HTTP, no validation, no SQLAlchemy, no telemetry.

`python -m bench.bare_orders` reads its task as JSON from standard input and writes an `Outcome` as JSON.
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
from shared.connections import MAX_OVERFLOW, POOL_SIZE
from shared.db.driver import DriverStatement
from shared.messaging.outbox import INSERT_EVENT

CONNECTIONS = POOL_SIZE + MAX_OVERFLOW
"""The number of connections that the orders service opens by default."""

SKU_SUFFIXES = ("a", "b", "c")
"""The three products of an order have the SKUs `bench-<number>-<suffix>`."""

# Sizes close to those of the orders service, because longer values take longer to store.
_FINGERPRINT = b"0" * 32
_RESPONSE = b"0" * 500
_EVENT_PADDING = "0" * 400


async def fetch(connection: Any, statement: DriverStatement, **parameters: object) -> list[Any]:
    """Run one of the service's statements on asyncpg."""
    rows: list[Any] = await connection.fetch(statement.sql, *(parameters[name] for name in statement.parameters))
    return rows


async def place_order(connection: Any, number: int) -> None:
    """Place one order of three items in one transaction."""
    skus = [f"bench-{number % NUMBERS:03d}-{suffix}" for suffix in SKU_SUFFIXES]
    order_id, user_id, key, now = uuid4(), UUID(int=1), uuid4().hex, datetime.now(UTC)
    lock = uuid4().int >> 65  # a positive 64-bit integer, which an advisory lock requires
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
            fingerprint=_FINGERPRINT,
            response=_RESPONSE,
        )
        await fetch(
            connection,
            INSERT_EVENT,
            id=uuid4(),
            source="/hopline/orders",
            type="hopline.order.placed.v1",
            subject=str(order_id),
            time=now,
            data=json.dumps({"order_id": str(order_id), "padding": _EVENT_PADDING}),
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            tracestate=None,
            baggage=None,
        )


async def place_repeatedly(*, database_url: str, concurrency: int, effort: Effort) -> Outcome:
    """Place orders continuously, `concurrency` at a time."""
    latencies: list[float] = []
    placed = 0

    async def keep_placing() -> None:
        """Place orders until the end, and until there are as many measurements as concurrent orders."""
        nonlocal placed
        while (started := time.perf_counter()) < end or len(latencies) < concurrency:
            async with pool.acquire() as connection:
                placed += 1
                await place_order(connection, placed)
            if started >= begin:
                latencies.append(time.perf_counter() - started)

    async with asyncpg.create_pool(database_url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        begin = time.perf_counter() + effort.warmup_seconds
        end = begin + effort.seconds
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
