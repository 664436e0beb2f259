"""`POST /orders`: the orders service, with and without drop-ins, compared with the same SQL on asyncpg alone."""

from dataclasses import asdict
from statistics import median

import asyncpg
import orjson

from bench.alternatives import Alternative
from bench.bare_orders import SKU_SUFFIXES
from bench.configurations import DROP_INS, STANDARD
from bench.cores import Core
from bench.dashboard import open_fakes
from bench.fakes import USER_ID
from bench.figures import Benchmark, Effort, Figure, at_least
from bench.load import NUMBERS, Load, Outcome, run_measurement
from bench.processes import Running
from bench.stage import Stage
from testkit.tokens import TokenIssuer

CONCURRENCY = 16
_INSERT_PRODUCTS = """
    INSERT INTO product (sku, name, unit_price_cents, stock)
    SELECT format('bench-%s-%s', lpad(n::text, 3, '0'), suffix), 'A mug', 1290, 1000000
    FROM generate_series(0, $1 - 1) AS n, unnest($2::text[]) AS suffix
"""
"""Three products for each value of `{n}` in the load, so that orders rarely wait for the same product."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Place orders of three items, 16 in parallel.

    Each alternative has a separate database and a pool of ten connections. The services reserve three of theirs
    for reads (`shared.db.database`).
    """
    issuer = TokenIssuer()
    fakes = await open_fakes(stage, issuer)
    standard = Alternative(name="standard", server=await open_stocked_orders(stage, fakes, **STANDARD))
    drop_ins = Alternative(name="drop-ins", server=await open_stocked_orders(stage, fakes, **DROP_INS))
    database_url = await open_stocked_database(stage)
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
            name="bare: CPU time",
            value=median(bare_cpu_ms),
            unit="ms/order",
        ),
    ]


def _throughput_share(ours: Alternative, bare: list[Outcome], *, target: float) -> Figure:
    """Return the throughput of one configuration in per cent of that of bare asyncpg, the median of all rounds."""
    percents = [
        100 * outcome.per_second / bare_outcome.per_second
        for outcome, bare_outcome in zip(ours.outcomes, bare, strict=True)
    ]
    return Figure(
        name=f"{ours.name} / bare asyncpg, throughput", value=median(percents), unit="%", target=at_least(target)
    )


def build_order_load(issuer: TokenIssuer) -> Load:
    """Return a load of orders of three items, each with a new idempotency key."""
    items = [{"sku": f"bench-{{n}}-{suffix}", "quantity": 1} for suffix in SKU_SUFFIXES]
    headers = {"Content-Type": "application/json", "Idempotency-Key": "{unique}"}
    return Load(
        method="POST",
        path="/orders",
        headers=headers | issuer.headers(USER_ID, lifetime=3600),
        body=orjson.dumps({"items": items}).decode(),
        connections=CONCURRENCY,
        expected_status=201,
    )


async def open_stocked_database(stage: Stage) -> str:
    """Create an orders database with more units of each product than the load can order. Return its URL."""
    database_url = await stage.open_database("orders")
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_INSERT_PRODUCTS, NUMBERS, list(SKU_SUFFIXES))
    finally:
        await connection.close()
    return database_url


async def open_stocked_orders(stage: Stage, fakes: Running, **environment: str) -> Running:
    """Start the orders service with a stocked database and a Redis database that no other service uses.

    Two services on one database would elect one relay. Its process would append the events of both, so its CPU time
    would be too high.
    """
    return await open_orders(stage, fakes, await open_stocked_database(stage), **environment)


async def open_orders(stage: Stage, fakes: Running, database_url: str, **environment: str) -> Running:
    """Start the orders service with its telemetry and its relay, which appends the events during the measurement."""
    return await stage.start_service(
        "orders",
        environment={
            "DATABASE_URL": database_url,
            "REDIS_URL": await stage.open_redis_database(),
            "JWKS_URL": f"{fakes.url}/.well-known/jwks.json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": fakes.url,
            "LOG_FORMAT": "json",
            **environment,
        },
    )


BENCHMARK = Benchmark(name="orders", measures="placing an order of three items with its event in the outbox", run=run)
