"""`POST /orders`: the orders service, with and without drop-ins, compared with the same SQL on asyncpg alone."""

from dataclasses import asdict
from statistics import median

import asyncpg
import orjson

from bench.configurations import DROP_INS, STANDARD
from bench.cores import Core
from bench.dashboard import open_standins
from bench.figures import Benchmark, Effort, Figure, at_least
from bench.load import NUMBERS, Load, Outcome, run_measurement
from bench.processes import Running
from bench.rivals import Rival
from bench.stage import Stage
from bench.standins import USER_ID
from testkit.tokens import TokenIssuer

CONCURRENCY = 16
LINES = ("a", "b", "c")
_PRODUCTS = """
    INSERT INTO product (sku, name, unit_price_cents, stock)
    SELECT format('bench-%s-%s', lpad(n::text, 3, '0'), line), 'A thing', 1290, 1000000
    FROM generate_series(0, $1 - 1) AS n, unnest($2::text[]) AS line
"""
"""Three products for each number of the load, so that orders rarely wait for the same product."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Place orders of three items, 16 in parallel, over ten connections. Each rival has a separate database."""
    issuer = TokenIssuer()
    standins = await open_standins(stage, issuer)
    standard = Rival(name="standard", server=await open_stocked_orders(stage, standins, **STANDARD))
    drop_ins = Rival(name="drop-ins", server=await open_stocked_orders(stage, standins, **DROP_INS))
    database_url = await stocked_database(stage)
    load = build_order_load(issuer)
    bare: list[Outcome] = []
    for _ in range(effort.rounds):
        await standard.measure(load, effort)
        await drop_ins.measure(load, effort)
        task = {"database_url": database_url, "concurrency": CONCURRENCY, "effort": asdict(effort)}
        bare.append(await run_measurement("bench.bare_orders", task, core=Core.SERVER))
    bare_cpu_ms = [1000 * outcome.cpu_share / outcome.per_second for outcome in bare]
    return [
        _throughput_share(standard, bare, target=33),
        _throughput_share(drop_ins, bare, target=35),
        *standard.figures(),
        *drop_ins.figures(),
        Figure(name="bare: throughput", value=median(outcome.per_second for outcome in bare), unit="orders/s"),
        Figure(name="bare: p50", value=median(outcome.p50_ms for outcome in bare), unit="ms"),
        Figure(name="bare: p99", value=median(outcome.p99_ms for outcome in bare), unit="ms"),
        Figure(
            name="bare: processor time",
            value=median(bare_cpu_ms),
            unit="ms/order",
        ),
    ]


def _throughput_share(ours: Rival, bare: list[Outcome], *, target: float) -> Figure:
    """Return the throughput of one configuration as a share of bare asyncpg's, by round."""
    shares = [100 * outcome.per_second / other.per_second for outcome, other in zip(ours.outcomes, bare, strict=True)]
    return Figure(
        name=f"{ours.name} / bare asyncpg, throughput", value=median(shares), unit="%", target=at_least(target)
    )


def build_order_load(issuer: TokenIssuer) -> Load:
    """Return a load of orders of three items, each with a new idempotency key."""
    items = [{"sku": f"bench-{{n}}-{line}", "quantity": 1} for line in LINES]
    headers = {"Content-Type": "application/json", "Idempotency-Key": "{unique}"}
    return Load(
        method="POST",
        path="/orders",
        headers=headers | issuer.headers(USER_ID, lifetime=3600),
        body=orjson.dumps({"items": items}).decode(),
        connections=CONCURRENCY,
        expected_status=201,
    )


async def stocked_database(stage: Stage) -> str:
    """Return the URL of a new orders database with more units of each product than the load can order."""
    database_url = await stage.postgres("orders")
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_PRODUCTS, NUMBERS, list(LINES))
    finally:
        await connection.close()
    return database_url


async def open_stocked_orders(stage: Stage, standins: Running, **environment: str) -> Running:
    """Start the orders service over a stocked database and a Redis database that no other service uses.

    Services that share them have one relay, whose process would append the events of all.
    """
    return await open_orders(stage, standins, await stocked_database(stage), **environment)


async def open_orders(stage: Stage, standins: Running, database_url: str, **environment: str) -> Running:
    """Start the orders service with its telemetry and its relay, which appends the events during the measurement."""
    return await stage.service(
        "orders",
        environment={
            "DATABASE_URL": database_url,
            "REDIS_URL": await stage.redis_database(),
            "JWKS_URL": f"{standins.url}/.well-known/jwks.json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": standins.url,
            "LOG_FORMAT": "json",
            **environment,
        },
    )


BENCHMARK = Benchmark(name="orders", measures="placing an order of three items with its event in the outbox", run=run)
