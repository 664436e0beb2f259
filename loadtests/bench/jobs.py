"""Jobs: the delay of a job on an idle worker, the throughput of one and two workers, and the cost of idle workers.

Each job is the last step of a fulfilment: claim, one call to orders, completion. No process is pinned to a core,
because a worker mostly waits for PostgreSQL, Redis and the orders service.
"""

import asyncio
import time
from statistics import median

import asyncpg
import orjson
from redis.asyncio import Redis

from bench.dashboard import open_fakes
from bench.fakes import ORDER_ID, USER_ID
from bench.figures import Benchmark, Effort, Figure, at_most
from bench.load import quantile
from bench.processes import Running
from bench.stage import Stage
from testkit.tokens import TokenIssuer
from workers.jobs.repository import QueuedJob
from workers.jobs.types import queue_of
from workers.queue.dispatcher import Dispatcher

BACKLOG = 2_000
SINGLE_JOBS = 300
"""Number of jobs that are added one by one, to measure their delay."""
IDLE_S = 60.0
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1048576"}
"""Settings of malloc that return freed memory to the system. The container images set them as well."""
_TIMEOUT_S = 120.0
_POLL_S = 0.02
"""Interval of the query for jobs that are not done. A shorter one would take CPU time from the workers."""
_KIND = "fulfil_order"
_INSERT_JOBS = """
    INSERT INTO job (id, kind, dedupe_key, payload)
    SELECT gen_random_uuid(), $1, gen_random_uuid()::text, $2::jsonb FROM generate_series(1, $3)
    RETURNING id
"""
_POSTPONE_SCHEDULES = "UPDATE schedule SET next_slot = next_slot + interval '1 day'"
"""Prevents schedules from adding jobs while idle workers are measured."""
_PAYLOAD = orjson.dumps({"user_id": USER_ID, "order_id": ORDER_ID, "step": "ship"}).decode()


class JobBacklog:
    """Adds jobs to the workers' database and queue."""

    def __init__(self, *, connection: "asyncpg.Connection[asyncpg.Record]", redis: Redis) -> None:
        self._connection = connection
        self._dispatcher = Dispatcher(redis=redis, queue_of=queue_of)

    async def add(self, count: int) -> None:
        """Commit jobs, then enqueue them in ARQ, as the event handlers of the workers do."""
        rows = await self._connection.fetch(_INSERT_JOBS, _KIND, _PAYLOAD, count)
        await self._dispatcher.enqueue(
            *(QueuedJob(job_id=row["id"], type_name=_KIND, attempt=1, due_in_s=0.0) for row in rows)
        )

    async def wait_until_done(self) -> None:
        """Wait until all added jobs are done."""
        async with asyncio.timeout(_TIMEOUT_S):
            while await self._connection.fetchval("SELECT count(*) FROM job WHERE state <> 'done'"):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Measure one worker, idle and with a backlog, then two workers."""
    fakes = await open_fakes(stage, TokenIssuer())
    database_url = await stage.open_database("workers")
    connection = await asyncpg.connect(database_url)
    async with Redis.from_url(await stage.open_valkey()) as redis:
        jobs = JobBacklog(connection=connection, redis=redis)
        worker = await open_worker(stage, fakes, database_url)
        report_worker = await open_worker(stage, fakes, database_url, settings="ReportWorkerSettings")
        await connection.execute(_POSTPONE_SCHEDULES)
        idle_percent = await _measure_idle_percent(effort.amount(int(IDLE_S)), worker, report_worker)
        await _measure_rates(jobs, effort.amount(BACKLOG), rounds=1)  # the warm-up
        waits = await _measure_waits(jobs, worker, effort.amount(SINGLE_JOBS))
        cpu_before = worker.cpu_seconds()
        alone = await _measure_rates(jobs, effort.amount(BACKLOG), rounds=effort.rounds)
        cpu_ms = 1000 * (worker.cpu_seconds() - cpu_before) / (effort.amount(BACKLOG) * effort.rounds)
        await open_worker(stage, fakes, database_url)
        together = await _measure_rates(jobs, effort.amount(BACKLOG), rounds=effort.rounds)
    await connection.close()
    return [
        Figure(name="enqueued → started, p50", value=quantile(waits, 0.5), unit="ms", target=at_most(5)),
        Figure(name="enqueued → started, p99", value=quantile(waits, 0.99), unit="ms"),
        Figure(name="1 worker", value=median(alone), unit="jobs/s"),
        Figure(name="1 worker: CPU time", value=cpu_ms, unit="ms/job"),
        Figure(name="2 workers", value=median(together), unit="jobs/s"),
        Figure(name="2 workers / 1 worker", value=median(together) / median(alone), unit="×"),
        Figure(name="idle: both workers' CPU time", value=idle_percent, unit="% of a core", target=at_most(1)),
    ]


async def open_worker(
    stage: Stage, fakes: Running, database_url: str, *, settings: str = "WorkerSettings", **environment: str
) -> Running:
    """Start a worker with its telemetry and the fake services, and wait until it is ready."""
    worker = stage.start_without_waiting(
        "arq",
        f"workers.main.{settings}",
        environment={
            "DATABASE_URL": database_url,
            "REDIS_URL": await stage.open_valkey(),
            **dict.fromkeys(("USERS_URL", "ORDERS_URL", "NOTIFICATIONS_URL"), fakes.url),
            "OTEL_EXPORTER_OTLP_ENDPOINT": fakes.url,
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


async def _measure_idle_percent(seconds: float, *workers: Running) -> float:
    """Measure idle workers for `seconds`, after a pause in which they complete their start.

    Return their CPU time together, in per cent of one core.
    """
    await asyncio.sleep(seconds / 10)
    began, cpu_before = time.perf_counter(), sum(worker.cpu_seconds() for worker in workers)
    await asyncio.sleep(seconds)
    cpu_seconds = sum(worker.cpu_seconds() for worker in workers) - cpu_before
    return 100 * cpu_seconds / (time.perf_counter() - began)


async def _measure_waits(jobs: JobBacklog, worker: Running, count: int) -> list[float]:
    """Run jobs one by one. Return the milliseconds from the insertion of each to its claim, in ascending order.

    The query that claims a job computes them in PostgreSQL, and the worker logs them.
    """
    log_size = len(worker.log.read_bytes())
    for _ in range(count):
        await jobs.add(1)
        await jobs.wait_until_done()
    lines = worker.log.read_bytes()[log_size:].splitlines()
    records = (orjson.loads(line) for line in lines if b'"job_done"' in line)
    return sorted(float(record["waited_ms"]) for record in records)


async def _measure_rates(jobs: JobBacklog, count: int, *, rounds: int) -> list[float]:
    """Return jobs per second, from the start of enqueueing a backlog until all jobs are done."""
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        await jobs.add(count)
        await jobs.wait_until_done()
        rates.append(count / (time.perf_counter() - began))
    return rates


BENCHMARK = Benchmark(name="jobs", measures="jobs of one call each: delay and throughput", run=run)
