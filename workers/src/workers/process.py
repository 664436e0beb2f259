"""The resources of one worker process, opened in order: stores, clients, leases, then the background loops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.background import run_loops
from shared.db.database import open_database
from shared.db.redis import open_redis
from shared.faults import watch_faults
from shared.messaging import Consumer
from shared.telemetry.loop_delay import measure_loop_delay
from shared.telemetry.setup import configure_telemetry, flush_telemetry_at_exit
from workers.dependencies import open_job_context
from workers.event_handlers import GROUP, EventHandlers
from workers.jobs.leases import Leases
from workers.jobs.runner import Runner
from workers.jobs.sweeper import Sweeper
from workers.jobs.types import JOB_TYPES, JOBS_QUEUE, queue_of
from workers.queue.dispatcher import Dispatcher
from workers.schedules.definitions import SCHEDULES
from workers.schedules.scheduler import Scheduler
from workers.settings import Settings

NAME = "workers"
"""`service.name` in telemetry, and the application name of the database connections."""


@asynccontextmanager
async def open_worker(settings: Settings, *, queue: str = JOBS_QUEUE) -> AsyncIterator[Runner]:
    """Open the resources of a worker that reads `queue`, and yield its runner.

    Only workers of `JOBS_QUEUE` also run the consumers, the scheduler and the sweeper, which serve all queues.
    """
    configure_telemetry(service=NAME, settings=settings)
    async with (
        flush_telemetry_at_exit(),
        measure_loop_delay(),
        open_database(settings, application=NAME) as database,
        open_redis(settings) as redis,
        watch_faults(settings, source=NAME, redis=redis) as faults,
        open_job_context(settings, database=database, faults=faults) as context,
        Leases(database=database, lease_s=settings.job_lease_seconds) as leases,
    ):
        dispatcher = Dispatcher(redis=redis, queue_of=queue_of)
        sweeper = Sweeper(database=database, dispatcher=dispatcher, job_types=JOB_TYPES, every_s=settings.sweep_seconds)
        scheduler = Scheduler(
            database=database, dispatcher=dispatcher, schedules=SCHEDULES, every_s=settings.schedule_seconds
        )
        event_handlers = EventHandlers(dispatcher=dispatcher, fulfil_step_s=settings.fulfil_step_seconds)
        consumers = [
            Consumer(group=GROUP, stream=stream, handlers=handlers, sessions=database.sessions, redis=redis)
            for stream, handlers in event_handlers.by_stream().items()
        ]
        async with run_loops([sweeper, scheduler, *consumers] if queue == JOBS_QUEUE else []):
            yield Runner(database=database, leases=leases, dispatcher=dispatcher, job_types=JOB_TYPES, context=context)
