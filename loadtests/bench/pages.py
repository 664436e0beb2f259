"""`GET /orders`: the cost of a page does not depend on the number of orders or the position of the page."""

from dataclasses import replace
from datetime import datetime
from statistics import median
from uuid import UUID

import asyncpg

from bench.alternatives import Alternative, ratios
from bench.dashboard import open_fakes
from bench.fakes import USER_ID
from bench.figures import Benchmark, Effort, Figure, at_most
from bench.load import Load
from bench.orders import open_orders
from bench.stage import Stage
from shared.web.pagination import encode_cursor
from testkit.tokens import TokenIssuer

FEW, MANY = 1_000, 1_000_000
PAGE_SIZE, FAR_PAGE = 20, 1_000
_INSERT_ORDERS = """
    WITH placed AS (
        INSERT INTO customer_order (id, user_id, status, total_cents, currency, created_at)
        SELECT gen_random_uuid(), $2, 'shipped', 1290, 'EUR', now() - n * interval '1 second'
        FROM generate_series(1, $1) AS n
        RETURNING id
    )
    INSERT INTO order_item (order_id, sku, name, quantity, unit_price_cents, position)
    SELECT id, 'MUG-ENAMEL-BLUE', 'Enamel mug, blue', 1, 1290, 1 FROM placed
"""
_SORT_KEY = """
    SELECT created_at, id FROM customer_order WHERE user_id = $1
    ORDER BY created_at DESC, id DESC OFFSET $2 LIMIT 1
"""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Measure with two databases. In each, one customer has all orders, because an order list is of one customer."""
    issuer = TokenIssuer()
    fakes = await open_fakes(stage, issuer)
    few_url, many_url = await stage.open_database("orders"), await stage.open_database("orders")
    await _insert_orders(few_url, effort.amount(FEW))
    await _insert_orders(many_url, effort.amount(MANY))
    few, many = await open_orders(stage, fakes, few_url), await open_orders(stage, fakes, many_url)
    first = Load(path=f"/orders?limit={PAGE_SIZE}", headers=issuer.headers(USER_ID, lifetime=3600), connections=4)
    cursor = await _cursor(many_url, orders=effort.amount(PAGE_SIZE * (FAR_PAGE - 1)))
    far = replace(first, path=f"{first.path}&cursor={cursor}")
    short = Alternative(name="first page of 1 k orders", server=few)
    long = Alternative(name="first page of 1 M orders", server=many)
    back = Alternative(name="1,000th page of 1 M orders", server=many)
    for _ in range(effort.rounds):
        for alternative, load in ((short, first), (long, first), (back, far)):
            await alternative.measure(load, effort)
    return [
        *(
            Figure(
                name=f"{alternative.name} / {short.name}, p50",
                value=median(ratios(alternative, short, lambda outcome: outcome.p50_ms)),
                unit="×",
                target=at_most(1.2),
            )
            for alternative in (long, back)
        ),
        *(figure for alternative in (short, long, back) for figure in alternative.figures()),
    ]


async def _insert_orders(database_url: str, orders: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_INSERT_ORDERS, orders, UUID(USER_ID), timeout=600)
        await connection.execute("VACUUM ANALYZE customer_order, order_item", timeout=600)
    finally:
        await connection.close()


async def _cursor(database_url: str, *, orders: int) -> str:
    """Return the cursor of the page that begins after the latest `orders` orders."""
    connection = await asyncpg.connect(database_url)
    try:
        last: tuple[datetime, UUID] = await connection.fetchrow(_SORT_KEY, UUID(USER_ID), orders - 1)
    finally:
        await connection.close()
    return encode_cursor(*last)


BENCHMARK = Benchmark(
    name="pages",
    measures="a page of twenty orders: the first of 1 k and of 1 M orders, and the 1,000th",
    run=run,
)
