"""Everything around a worker: its stores, the services it calls, the mail server; and workers to set to work in it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
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
from sqlalchemy import select, text

from shared.database import Database, open_database
from shared.faults import Faults
from shared.redis import redis_client
from testkit.apps import serve
from testkit.waiting import PATIENCE_S, eventually
from workers.arq_redis import JobRedis
from workers.dependencies import open_tools
from workers.dispatch import Dispatcher
from workers.kinds import JOBS_QUEUE, REPORTS_QUEUE, Kind, queue_of
from workers.leases import Leases
from workers.ledger import JobLedger, QueuedJob
from workers.models import Email, Job
from workers.runner import Runner
from workers.schedules import SCHEDULES
from workers.schemas import NewJob
from workers.settings import Settings
from workers.timetable import Timetable

from .standins import SECRET, Mailbox, Notifications, Orders, Users


@dataclass(frozen=True, kw_only=True)
class World:
    """`environment` is that of a worker in this world."""

    database: Database
    redis: Redis
    users: Users
    orders: Orders
    notifications: Notifications
    mailbox: Mailbox
    objects: Path
    environment: dict[str, str]

    def settings(self, **changes: Any) -> Settings:
        """The same as settings, with some changed."""
        return Settings.model_validate({name.lower(): value for name, value in self.environment.items()} | changes)

    async def add(self, *jobs: NewJob) -> list[QueuedJob]:
        """Put jobs into the ledger and nowhere else."""
        async with self.database.transaction() as session:
            return await JobLedger(session).add(*jobs)

    async def enqueue(self, *jobs: NewJob) -> None:
        """Put jobs into the ledger, then hand them to ARQ, as the consumer of an event does."""
        await Dispatcher(redis=self.redis, queue_of=queue_of).enqueue(*await self.add(*jobs))

    async def jobs(self) -> list[Job]:
        """All jobs, the oldest first."""
        async with self.database.sessions() as session:
            return list(await session.scalars(select(Job).order_by(Job.created_at, Job.kind, Job.id)))

    async def job(self, job_id: UUID) -> Job:
        """One job as it is now."""
        async with self.database.sessions() as session:
            return await session.get_one(Job, job_id)

    async def emails(self) -> list[Email]:
        """The email ledger."""
        async with self.database.sessions() as session:
            return list(await session.scalars(select(Email)))

    async def execute(self, statement: str, **parameters: object) -> None:
        """Change what no worker would."""
        async with self.database.transaction() as session:
            await session.execute(text(statement), parameters)

    async def until(self, condition: Callable[[list[Job]], object]) -> list[Job]:
        """Wait for a condition on all jobs; returns them."""

        async def hold() -> list[Job]:
            jobs = await self.jobs()
            return jobs if condition(jobs) else []

        found: list[Job] = await eventually(hold)
        return found

    async def until_ended(self, count: int) -> list[Job]:
        """Wait for so many jobs to be there, each of them done or dead."""
        return await self.until(lambda jobs: len(jobs) == count and all(job.finished_at for job in jobs))

    async def until_done(self, count: int) -> list[Job]:
        """Wait for so many jobs to be done."""
        return await self.until(lambda jobs: [job.state for job in jobs].count("done") >= count)

    @asynccontextmanager
    async def runner(self, kind: Kind, **changes: Any) -> AsyncIterator[Runner]:
        """What runs jobs of one kind, without anything that would call it."""
        settings = self.settings(**changes)
        async with (
            open_tools(settings, database=self.database, faults=Faults()) as tools,
            Leases(database=self.database, lease_s=settings.job_lease_seconds) as leases,
        ):
            dispatcher = Dispatcher(redis=self.redis, queue_of=queue_of)
            kinds = {kind.payload.kind: kind}
            yield Runner(database=self.database, leases=leases, dispatcher=dispatcher, kinds=kinds, tools=tools)

    @asynccontextmanager
    async def worker(self, *, queue: str = JOBS_QUEUE, **changes: Any) -> AsyncIterator[Worker]:
        """A worker in this process, whose spans can be seen."""
        main, settings = self.main(), self.settings(**changes)
        worker = create_worker(
            main.ReportWorkerSettings if queue == REPORTS_QUEUE else main.WorkerSettings,
            ctx={"settings": settings, "resources": AsyncExitStack()},
            redis_pool=JobRedis(str(settings.redis_url), queue_name=queue),
            on_startup=main.startup,
            max_jobs=settings.reports_at_once if queue == REPORTS_QUEUE else settings.max_jobs,
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
            await worker.close()

    def main(self) -> ModuleType:
        """Import what ARQ imports; it reads an environment, whose values a worker in this process gets otherwise."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            main = import_module("workers.main")
        asyncio.set_event_loop(asyncio.get_running_loop())  # the import sets ARQ's
        return main

    @asynccontextmanager
    async def process(self, settings: str = "WorkerSettings", **changes: str) -> AsyncIterator["Process"]:
        """A worker as operators start it, ready; killed at the end if it still runs."""
        process = await Process.start(self.environment | changes, settings=settings)
        try:
            await eventually(lambda: "worker_started" in process.events() or process.ended)
            yield process
        finally:
            await process.end()


@dataclass(kw_only=True)
class Process:
    """`arq workers.main.<settings>`, with the lines it has written."""

    child: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @classmethod
    async def start(cls, environment: dict[str, str], *, settings: str = "WorkerSettings") -> "Process":
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

    def logged(self) -> list[dict[str, Any]]:
        """The log lines."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def events(self) -> list[str]:
        """What was logged, without the details."""
        return [line["event"] for line in self.logged()]

    def send(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def wait(self, within_s: float = PATIENCE_S) -> int:
        """Wait for the end; the exit status."""
        async with asyncio.timeout(within_s):
            status = await self.child.wait()
            await self._reading
        return status

    async def end(self) -> None:
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                self.child.kill()
        await self.wait()

    _reading: "asyncio.Task[None]" = field(init=False, repr=False)


@asynccontextmanager
async def open_world(*, database_url: str, redis_url: str, objects: Path) -> AsyncIterator[World]:
    """A world over a migrated database, an empty Redis and a folder of objects, in which everybody answers."""
    users, mailbox = Users(), Mailbox()
    orders, notifications = Orders(users=users), Notifications(users=users)
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
        redis = redis_client(redis_url)
        opened.push_async_callback(redis.aclose)
        yield World(
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
    """Let no slot come by itself: its job would be one too many wherever a test counts them."""
    async with database.transaction() as session:
        for schedule in SCHEDULES:
            await Timetable(session).enter(
                schedule.name, cron=schedule.cron, next_slot=datetime.max.replace(tzinfo=UTC)
            )
