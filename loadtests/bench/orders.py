"""`POST /orders`: the orders service with all it does, against the same SQL by asyncpg alone."""

from dataclasses import asdict
from statistics import median

import asyncpg
import orjson

from bench.cores import Core
from bench.dashboard import open_standins
from bench.figures import Benchmark, Effort, Figure, at_least
from bench.load import NUMBERS, Load, Outcome, measured
from bench.processes import Running
from bench.rivals import Rival
from bench.stage import Stage
from bench.standins import USER_ID
from testkit.tokens import TokenIssuer

AT_ONCE = 16
LINES = ("a", "b", "c")
_SHELVES = """
    INSERT INTO product (sku, name, unit_price_cents, stock)
    SELECT format('bench-%s-%s', lpad(n::text, 3, '0'), line), 'A thing', 1290, 1000000
    FROM generate_series(0, $1 - 1) AS n, unnest($2::text[]) AS line
"""
"""Three products for each of the load's numbers: orders rarely wait for one another's stock."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Both place orders of three lines into the same database, sixteen at once, over ten connections."""
    issuer = TokenIssuer()
    standins = await open_standins(stage, issuer)
    database_url = await stage.postgres("orders")
    await fill_shelves(database_url)
    ours = Rival(name="ours", server=await open_orders(stage, standins, database_url))
    load = placing(issuer)
    bare: list[Outcome] = []
    for _ in range(effort.rounds):
        await ours.measure(load, effort)
        asked = {"database_url": database_url, "at_once": AT_ONCE, "effort": asdict(effort)}
        bare.append(await measured("bench.bare_orders", asked, core=Core.SERVER))
    bare_cpu_ms = [1000 * one.cpu_share / one.per_second for one in bare]
    kept = [100 * one.per_second / other.per_second for one, other in zip(ours.outcomes, bare, strict=True)]
    return [
        Figure(name="ours / bare asyncpg, throughput", value=median(kept), unit="%", target=at_least(35)),
        *ours.figures(),
        Figure(name="bare: throughput", value=median(one.per_second for one in bare), unit="orders/s"),
        Figure(name="bare: p50", value=median(one.p50_ms for one in bare), unit="ms"),
        Figure(name="bare: p99", value=median(one.p99_ms for one in bare), unit="ms"),
        Figure(
            name="bare: processor time",
            value=median(bare_cpu_ms),
            unit="ms/order",
        ),
    ]


def placing(issuer: TokenIssuer) -> Load:
    """Orders of three lines, each under a key of its own."""
    items = [{"sku": f"bench-{{n}}-{line}", "quantity": 1} for line in LINES]
    headers = {"Content-Type": "application/json", "Idempotency-Key": "{unique}"}
    return Load(
        method="POST",
        path="/orders",
        headers=headers | issuer.headers(USER_ID, lifetime=3600),
        body=orjson.dumps({"items": items}).decode(),
        connections=AT_ONCE,
        expected_status=201,
    )


async def fill_shelves(database_url: str) -> None:
    """Have the products that the load orders, more than it can order."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_SHELVES, NUMBERS, list(LINES))
    finally:
        await connection.close()


async def open_orders(stage: Stage, standins: Running, database_url: str, **environment: str) -> Running:
    """The orders service with its relay, which ships the events meanwhile, and with its telemetry."""
    return await stage.service(
        "orders",
        environment={
            "DATABASE_URL": database_url,
            "REDIS_URL": await stage.valkey(),
            "JWKS_URL": f"{standins.url}/.well-known/jwks.json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": standins.url,
            "LOG_FORMAT": "json",
            **environment,
        },
    )


BENCHMARK = Benchmark(name="orders", measures="placing an order of three lines, its event in the outbox", run=run)
