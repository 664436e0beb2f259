"""Jobs: how soon one starts on an idle worker, how many one worker and two get done, and what idle workers cost.

Each is the last step of a fulfilment: claim, one call to orders, completion. Stores, stand-ins and workers run where
the system puts them: a worker spends its time waiting for the others.
"""

import asyncio
import time
from statistics import median

import asyncpg
import orjson
from redis.asyncio import Redis

from bench.dashboard import open_standins
from bench.figures import Benchmark, Effort, Figure, at_most
from bench.load import quantile
from bench.processes import Running
from bench.stage import Stage
from bench.standins import ORDER_ID, USER_ID
from testkit.tokens import TokenIssuer
from workers.dispatch import Dispatcher
from workers.kinds import queue_of
from workers.ledger import QueuedJob

BACKLOG = 2_000
ONE_BY_ONE = 300
IDLE_S = 60.0
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1048576"}
"""As in the images: how memory that is given back gets back to the system."""
_PATIENCE_S = 120.0
_LOOK_S = 0.02
"""Between looks at the ledger, which cost Postgres a little each."""
_KIND = "fulfil_order"
_ADD = """
    INSERT INTO job (id, kind, dedupe_key, payload)
    SELECT gen_random_uuid(), $1, gen_random_uuid()::text, $2::jsonb FROM generate_series(1, $3)
    RETURNING id
"""
_NO_SLOTS = "UPDATE schedule SET next_slot = next_slot + interval '1 day'"
"""A scheduled job would be work for a worker that is measured idle."""
_PAYLOAD = orjson.dumps({"user_id": USER_ID, "order_id": ORDER_ID, "step": "ship"}).decode()


class Ledger:
    """The workers' database and queue, as whoever adds jobs sees them."""

    def __init__(self, *, connection: "asyncpg.Connection[asyncpg.Record]", redis: Redis) -> None:
        self._connection = connection
        self._dispatcher = Dispatcher(redis=redis, queue_of=queue_of)
        self._added = 0

    async def add(self, count: int) -> None:
        """Commit jobs, then hand them to ARQ, as the consumer of an event does."""
        rows = await self._connection.fetch(_ADD, _KIND, _PAYLOAD, count)
        self._added += count
        await self._dispatcher.enqueue(
            *(QueuedJob(job_id=row["id"], kind=_KIND, attempt=1, due_in_s=0.0) for row in rows)
        )

    async def done(self) -> None:
        """Return when all that were added are done."""
        async with asyncio.timeout(_PATIENCE_S):
            while await self._connection.fetchval("SELECT count(*) FROM job WHERE state <> 'done'"):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """First one worker, idle and with a backlog; then a second one beside it."""
    standins = await open_standins(stage, TokenIssuer())
    database_url = await stage.postgres("workers")
    connection = await asyncpg.connect(database_url)
    async with Redis.from_url(await stage.valkey()) as redis:
        ledger = Ledger(connection=connection, redis=redis)
        first = await open_worker(stage, standins, database_url)
        reports = await open_worker(stage, standins, database_url, settings="ReportWorkerSettings")
        await connection.execute(_NO_SLOTS)
        idle_percent = await _idle_percent(effort.amount(int(IDLE_S)), first, reports)
        await _rates(ledger, effort.amount(BACKLOG), rounds=1)  # to warm up
        waits = await _waits(ledger, first, effort.amount(ONE_BY_ONE))
        spent = first.cpu_seconds()
        alone = await _rates(ledger, effort.amount(BACKLOG), rounds=effort.rounds)
        cpu_ms = 1000 * (first.cpu_seconds() - spent) / (effort.amount(BACKLOG) * effort.rounds)
        await open_worker(stage, standins, database_url)
        together = await _rates(ledger, effort.amount(BACKLOG), rounds=effort.rounds)
    await connection.close()
    return [
        Figure(name="enqueued → started, p50", value=quantile(waits, 0.5), unit="ms", target=at_most(5)),
        Figure(name="enqueued → started, p99", value=quantile(waits, 0.99), unit="ms"),
        Figure(name="1 worker", value=median(alone), unit="jobs/s"),
        Figure(name="1 worker: processor time", value=cpu_ms, unit="ms/job"),
        Figure(name="2 workers", value=median(together), unit="jobs/s"),
        Figure(name="2 workers / 1 worker", value=median(together) / median(alone), unit="×"),
        Figure(name="idle: both workers' processor time", value=idle_percent, unit="% of a core", target=at_most(1)),
    ]


async def open_worker(
    stage: Stage, standins: Running, database_url: str, *, settings: str = "WorkerSettings", **environment: str
) -> Running:
    """A worker as operators start it, with its telemetry, over these stand-ins; it has started."""
    worker = stage.silent(
        "arq",
        f"workers.main.{settings}",
        environment={
            "DATABASE_URL": database_url,
            "REDIS_URL": await stage.valkey(),
            **dict.fromkeys(("USERS_URL", "ORDERS_URL", "NOTIFICATIONS_URL"), standins.url),
            "OTEL_EXPORTER_OTLP_ENDPOINT": standins.url,
            "WORKERS_CLIENT_SECRET": "a-secret-of-the-bench",
            "MAIL_FROM": "shop@hopline.example",
            "SMTP_HOST": "127.0.0.1",
            "LOG_FORMAT": "json",
            **ALLOCATOR,
            **environment,
        },
    )
    await worker.says("worker_started")
    return worker


async def _idle_percent(seconds: float, *workers: Running) -> float:
    """Processor time of workers that have nothing to do, once what they do at their start is over."""
    await asyncio.sleep(seconds / 10)
    began, spent = time.perf_counter(), sum(worker.cpu_seconds() for worker in workers)
    await asyncio.sleep(seconds)
    spent = sum(worker.cpu_seconds() for worker in workers) - spent
    return 100 * spent / (time.perf_counter() - began)


async def _waits(ledger: Ledger, worker: Running, count: int) -> list[float]:
    """Milliseconds from the job's commit to its claim, by Postgres' clock, as the worker's own lines say; sorted."""
    before = len(worker.log.read_bytes())
    for _ in range(count):
        await ledger.add(1)
        await ledger.done()
    lines = worker.log.read_bytes()[before:].splitlines()
    found = (orjson.loads(line) for line in lines if b'"job_done"' in line)
    return sorted(float(line["waited_ms"]) for line in found)


async def _rates(ledger: Ledger, count: int, *, rounds: int) -> list[float]:
    """Jobs per second, from when a backlog is being handed over until all of it is done."""
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        await ledger.add(count)
        await ledger.done()
        rates.append(count / (time.perf_counter() - began))
    return rates


BENCHMARK = Benchmark(name="jobs", measures="jobs of one call each: when they start, how many get done", run=run)
