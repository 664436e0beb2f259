"""What one worker process has open, in order: stores, tools, leases, and then what brings in work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.background import running
from shared.database import open_database
from shared.events import Consumer
from shared.faults import watched_faults
from shared.loop_delay import loop_delay_measured
from shared.redis import open_redis
from shared.telemetry import configure_telemetry, telemetry_flushed_at_exit
from workers.dependencies import open_tools
from workers.dispatch import Dispatcher
from workers.events import GROUP, Reactions
from workers.kinds import JOBS_QUEUE, KINDS, queue_of
from workers.leases import Leases
from workers.runner import Runner
from workers.scheduler import Scheduler
from workers.schedules import SCHEDULES
from workers.settings import Settings
from workers.sweeper import Sweeper

NAME = "workers"
"""`service.name`, in telemetry and in Postgres' list of connections."""


@asynccontextmanager
async def open_worker(settings: Settings, *, queue: str = JOBS_QUEUE) -> AsyncIterator[Runner]:
    """The runner with all that it needs; for the first queue also what brings in work, and brings it back.

    Consumers, schedules and sweeper are for every queue: who works at another one only works.
    """
    configure_telemetry(service=NAME, settings=settings)
    async with (
        telemetry_flushed_at_exit(),
        loop_delay_measured(),
        open_database(settings, application=NAME) as database,
        open_redis(settings) as redis,
        watched_faults(settings, source=NAME, redis=redis) as faults,
        open_tools(settings, database=database, faults=faults) as tools,
        Leases(database=database, lease_s=settings.job_lease_seconds) as leases,
    ):
        dispatcher = Dispatcher(redis=redis, queue_of=queue_of)
        sweeper = Sweeper(database=database, dispatcher=dispatcher, kinds=KINDS, every_s=settings.sweep_seconds)
        scheduler = Scheduler(
            database=database, dispatcher=dispatcher, schedules=SCHEDULES, every_s=settings.schedule_seconds
        )
        reactions = Reactions(dispatcher=dispatcher, fulfil_step_s=settings.fulfil_step_seconds)
        consumers = [
            Consumer(group=GROUP, stream=stream, handlers=handlers, sessions=database.sessions, redis=redis)
            for stream, handlers in reactions.by_stream().items()
        ]
        async with running([sweeper, scheduler, *consumers] if queue == JOBS_QUEUE else []):
            yield Runner(database=database, leases=leases, dispatcher=dispatcher, kinds=KINDS, tools=tools)
