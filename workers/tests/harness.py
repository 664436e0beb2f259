"""The stores, fake services and mail server that a worker needs, and functions that run workers with them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from arq.worker import Worker, create_worker
from redis.asyncio import Redis
from sqlalchemy import func, select, text

from shared.db.database import Database, open_database
from shared.db.redis import create_redis
from shared.faults import ActiveFaults
from testkit.apps import serve
from testkit.waiting import TIMEOUT_S, eventually
from workers.dependencies import open_job_context
from workers.jobs.leases import Leases
from workers.jobs.repository import JobRepository, QueuedJob
from workers.jobs.runner import Runner
from workers.jobs.types import JOBS_QUEUE, REPORTS_QUEUE, JobType, queue_of
from workers.models import Email, Job
from workers.queue.arq_redis import JobRedis
from workers.queue.dispatcher import Dispatcher
from workers.schedules.definitions import SCHEDULES
from workers.schedules.repository import ScheduleRepository
from workers.schemas import NewJob
from workers.settings import Settings

from .fakes import SECRET, FakeMailServer, FakeNotifications, FakeOrders, FakeUsers


@dataclass(frozen=True, kw_only=True)
class Harness:
    """The dependencies of a worker. `environment` has the environment variables of its process."""

    database: Database
    redis: Redis
    users: FakeUsers
    orders: FakeOrders
    notifications: FakeNotifications
    mailbox: FakeMailServer
    objects: Path
    environment: dict[str, str]

    def settings(self, **changes: Any) -> Settings:
        """Return the settings of a worker. `changes` replace values of the environment."""
        return Settings.model_validate({name.lower(): value for name, value in self.environment.items()} | changes)

    async def add_jobs(self, *jobs: NewJob) -> list[QueuedJob]:
        """Insert jobs into the table without enqueuing them."""
        async with self.database.transaction() as session:
            return await JobRepository(session=session).add(*jobs)

    async def enqueue(self, *jobs: NewJob) -> None:
        """Insert jobs into the table and enqueue them, as the consumer of an event does."""
        await Dispatcher(redis=self.redis, queue_of=queue_of).enqueue(*await self.add_jobs(*jobs))

    async def list_jobs(self) -> list[Job]:
        """Return all jobs, oldest first."""
        async with self.database.sessions() as session:
            return list(await session.scalars(select(Job).order_by(Job.created_at, Job.kind, Job.id)))

    async def get_job(self, job_id: UUID) -> Job:
        """Return the current state of one job."""
        async with self.database.sessions() as session:
            return await session.get_one(Job, job_id)

    async def list_emails(self) -> list[Email]:
        """Return the rows of all emails."""
        async with self.database.sessions() as session:
            return list(await session.scalars(select(Email)))

    async def execute(self, statement: str, **parameters: object) -> None:
        """Execute a statement in the workers' database."""
        async with self.database.transaction() as session:
            await session.execute(text(statement), parameters)

    async def now(self) -> datetime:
        """Return the time of PostgreSQL's clock."""
        async with self.database.sessions() as session:
            now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        return now

    async def wait_until(self, condition: Callable[[list[Job]], object]) -> list[Job]:
        """Wait until `condition` is true for the list of all jobs, and return the list."""

        async def list_if_true() -> list[Job]:
            jobs = await self.list_jobs()
            return jobs if condition(jobs) else []

        jobs: list[Job] = await eventually(list_if_true)
        return jobs

    async def wait_until_ended(self, count: int) -> list[Job]:
        """Wait until there are `count` jobs and each is done or dead."""
        return await self.wait_until(lambda jobs: len(jobs) == count and all(job.finished_at for job in jobs))

    async def wait_until_done(self, count: int) -> list[Job]:
        """Wait until `count` jobs are done."""
        return await self.wait_until(lambda jobs: [job.state for job in jobs].count("done") >= count)

    @asynccontextmanager
    async def open_runner(self, job_type: JobType, **changes: Any) -> AsyncIterator[Runner]:
        """Open a runner for jobs of one type, which the test calls instead of a worker."""
        settings = self.settings(**changes)
        async with (
            open_job_context(settings, database=self.database, faults=ActiveFaults()) as context,
            Leases(database=self.database, lease_s=settings.job_lease_seconds) as leases,
        ):
            dispatcher = Dispatcher(redis=self.redis, queue_of=queue_of)
            job_types = {job_type.payload.type_name: job_type}
            yield Runner(
                database=self.database, leases=leases, dispatcher=dispatcher, job_types=job_types, context=context
            )

    @asynccontextmanager
    async def run_worker(
        self, *, queue: str = JOBS_QUEUE, redis_options: Mapping[str, int] | None = None, **changes: Any
    ) -> AsyncIterator[Worker]:
        """Run a worker in this process within the block, so that the test can read its spans.

        `redis_options` are further arguments of its `JobRedis`. `changes` replace its settings.
        """
        main, settings = self.import_main(), self.settings(**changes)
        worker = create_worker(
            main.ReportWorkerSettings if queue == REPORTS_QUEUE else main.WorkerSettings,
            ctx={"settings": settings, "resources": AsyncExitStack()},
            redis_pool=JobRedis(url=str(settings.redis_url), queue_name=queue, **redis_options or {}),
            on_startup=main.startup,
            max_jobs=settings.max_concurrent_reports if queue == REPORTS_QUEUE else settings.max_jobs,
            job_completion_wait=settings.shutdown_seconds,
            handle_signals=False,
        )
        running = asyncio.create_task(worker.async_run())
        try:
            await eventually(lambda: "runner" in worker.ctx or running.done())
            yield worker
        finally:
            worker.handle_sig_wait_for_completion(signal.SIGTERM)
            with contextlib.suppress(asyncio.CancelledError):
                await running
            # `close` would cancel jobs that still run, because of `handle_signals=False`.
            if worker.tasks:
                await asyncio.wait(worker.tasks.values())
            await worker.close()

    def import_main(self) -> ModuleType:
        """Import `workers.main`, which reads the environment at import, as ARQ does."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            main = import_module("workers.main")
        asyncio.set_event_loop(asyncio.get_running_loop())  # the import sets the loop for ARQ
        return main

    @asynccontextmanager
    async def run_process(self, settings: str = "WorkerSettings", **changes: str) -> AsyncIterator["Process"]:
        """Run a worker in a separate process within the block. Yields when it is ready, and kills it at the end."""
        process = await Process.start(self.environment | changes, settings=settings)
        try:
            await eventually(lambda: "worker_started" in process.events() or process.ended)
            yield process
        finally:
            await process.end()


@dataclass(kw_only=True)
class Process:
    """A process of `arq workers.main.<settings>`. `lines` is its output."""

    child: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @classmethod
    async def start(cls, environment: dict[str, str], *, settings: str = "WorkerSettings") -> "Process":
        """Start the process without waiting until the worker is ready."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "arq", f"workers.main.{settings}",
            env={"PATH": os.environ["PATH"]} | environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        process = cls(child=child)
        process._reading = asyncio.create_task(process._read())
        return process

    async def _read(self) -> None:
        assert self.child.stdout is not None
        async for line in self.child.stdout:
            self.lines.append(line.decode())

    @property
    def ended(self) -> bool:
        return self.child.returncode is not None

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def log_records(self) -> list[dict[str, Any]]:
        """Return the log records of the output, without other lines."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def events(self) -> list[str]:
        """Return the names of the logged events."""
        return [record["event"] for record in self.log_records()]

    def send_signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def wait(self, within_s: float = TIMEOUT_S) -> int:
        """Wait until the process has ended, and return its exit status."""
        async with asyncio.timeout(within_s):
            status = await self.child.wait()
            await self._reading
        return status

    async def end(self) -> None:
        """Kill the process if it still runs, and wait for its end."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                self.child.kill()
        await self.wait()

    _reading: "asyncio.Task[None]" = field(init=False, repr=False)


@asynccontextmanager
async def open_harness(*, database_url: str, redis_url: str, objects: Path) -> AsyncIterator[Harness]:
    """Open a harness for a migrated database, an empty Redis and a folder for objects."""
    users, mailbox = FakeUsers(), FakeMailServer()
    orders, notifications = FakeOrders(users=users), FakeNotifications(users=users)
    async with AsyncExitStack() as opened:
        environment = {
            "ENVIRONMENT": "test",
            "LOG_FORMAT": "json",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "USERS_URL": await opened.enter_async_context(serve(users.app)),
            "ORDERS_URL": await opened.enter_async_context(serve(orders.app)),
            "NOTIFICATIONS_URL": await opened.enter_async_context(serve(notifications.app)),
            "WORKERS_CLIENT_SECRET": SECRET,
            "OBJECT_STORE_URL": objects.as_uri(),
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mailbox.port),
            "MAIL_FROM": "Hopline <shop@hopline.example>",
            "FULFIL_STEP_SECONDS": "0.2",
            "JOB_LEASE_SECONDS": "10.0",
            "SWEEP_SECONDS": "0.2",
        }
        await mailbox.start()
        opened.push_async_callback(mailbox.stop)
        settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
        database = await opened.enter_async_context(open_database(settings, application="test"))
        await _postpone_schedules(database)
        redis = create_redis(redis_url)
        opened.push_async_callback(redis.aclose)
        yield Harness(
            database=database,
            redis=redis,
            users=users,
            orders=orders,
            notifications=notifications,
            mailbox=mailbox,
            objects=objects,
            environment=environment,
        )


async def _postpone_schedules(database: Database) -> None:
    """Move all slots to the end of time, because tests count the jobs in the table."""
    async with database.transaction() as session:
        for schedule in SCHEDULES:
            await ScheduleRepository(session=session).register(
                schedule.name, cron=schedule.cron, next_slot=datetime.max.replace(tzinfo=UTC)
            )
