"""Jobs: the delay of a job on an idle worker, the throughput of one and two workers, and the cost of idle workers.

Each job is the last step of a fulfilment: claim, one call to orders, completion. No process is pinned to a core,
because a worker mostly waits for the others.
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
from workers.jobs.repository import QueuedJob
from workers.jobs.types import queue_of
from workers.queue.dispatcher import Dispatcher

BACKLOG = 2_000
ONE_BY_ONE = 300
IDLE_S = 60.0
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1048576"}
"""The settings of the images for returning freed memory to the system."""
_TIMEOUT_S = 120.0
_LOOK_S = 0.02
"""Interval of the query for completed jobs, which costs CPU time."""
_KIND = "fulfil_order"
_ADD = """
    INSERT INTO job (id, kind, dedupe_key, payload)
    SELECT gen_random_uuid(), $1, gen_random_uuid()::text, $2::jsonb FROM generate_series(1, $3)
    RETURNING id
"""
_NO_SLOTS = "UPDATE schedule SET next_slot = next_slot + interval '1 day'"
"""No schedule adds a job while idle workers are measured."""
_PAYLOAD = orjson.dumps({"user_id": USER_ID, "order_id": ORDER_ID, "step": "ship"}).decode()


class JobBacklog:
    """Adds jobs to the workers' database and queue."""

    def __init__(self, *, connection: "asyncpg.Connection[asyncpg.Record]", redis: Redis) -> None:
        self._connection = connection
        self._dispatcher = Dispatcher(redis=redis, queue_of=queue_of)

    async def add(self, count: int) -> None:
        """Commit jobs, then enqueue them in ARQ, like the consumer of an event."""
        rows = await self._connection.fetch(_ADD, _KIND, _PAYLOAD, count)
        await self._dispatcher.enqueue(
            *(QueuedJob(job_id=row["id"], type_name=_KIND, attempt=1, due_in_s=0.0) for row in rows)
        )

    async def wait_until_done(self) -> None:
        """Wait until all added jobs are done."""
        async with asyncio.timeout(_TIMEOUT_S):
            while await self._connection.fetchval("SELECT count(*) FROM job WHERE state <> 'done'"):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Measure one worker, idle and with a backlog, then two workers."""
    standins = await open_standins(stage, TokenIssuer())
    database_url = await stage.postgres("workers")
    connection = await asyncpg.connect(database_url)
    async with Redis.from_url(await stage.valkey()) as redis:
        jobs = JobBacklog(connection=connection, redis=redis)
        first = await open_worker(stage, standins, database_url)
        reports = await open_worker(stage, standins, database_url, settings="ReportWorkerSettings")
        await connection.execute(_NO_SLOTS)
        idle_percent = await _idle_percent(effort.amount(int(IDLE_S)), first, reports)
        await _rates(jobs, effort.amount(BACKLOG), rounds=1)  # to warm up
        waits = await _waits(jobs, first, effort.amount(ONE_BY_ONE))
        spent = first.cpu_seconds()
        alone = await _rates(jobs, effort.amount(BACKLOG), rounds=effort.rounds)
        cpu_ms = 1000 * (first.cpu_seconds() - spent) / (effort.amount(BACKLOG) * effort.rounds)
        await open_worker(stage, standins, database_url)
        together = await _rates(jobs, effort.amount(BACKLOG), rounds=effort.rounds)
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
    """Start a worker with its telemetry and the fake services, and wait until it is ready."""
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
    await worker.wait_for_log("worker_started")
    return worker


async def _idle_percent(seconds: float, *workers: Running) -> float:
    """Return the CPU time of idle workers, after their start is complete."""
    await asyncio.sleep(seconds / 10)
    began, spent = time.perf_counter(), sum(worker.cpu_seconds() for worker in workers)
    await asyncio.sleep(seconds)
    spent = sum(worker.cpu_seconds() for worker in workers) - spent
    return 100 * spent / (time.perf_counter() - began)


async def _waits(jobs: JobBacklog, worker: Running, count: int) -> list[float]:
    """Return the sorted milliseconds from each job's commit to its claim, from PostgreSQL and the worker's log."""
    before = len(worker.log.read_bytes())
    for _ in range(count):
        await jobs.add(1)
        await jobs.wait_until_done()
    lines = worker.log.read_bytes()[before:].splitlines()
    found = (orjson.loads(line) for line in lines if b'"job_done"' in line)
    return sorted(float(line["waited_ms"]) for line in found)


async def _rates(jobs: JobBacklog, count: int, *, rounds: int) -> list[float]:
    """Return jobs per second, from the start of enqueueing a backlog until all jobs are done."""
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        await jobs.add(count)
        await jobs.wait_until_done()
        rates.append(count / (time.perf_counter() - began))
    return rates


BENCHMARK = Benchmark(name="jobs", measures="jobs of one call each: delay and throughput", run=run)
