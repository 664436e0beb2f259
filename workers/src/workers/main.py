"""Entry points of ARQ: `arq workers.main.WorkerSettings`, and for reports `arq workers.main.ReportWorkerSettings`.

Importing this module reads the environment, because ARQ reads the class attributes at import.
"""

import asyncio
import atexit
import gc
import logging
import sys
from contextlib import AsyncExitStack
from typing import Any

import structlog
import uvloop
from arq.connections import RedisSettings

from shared.config import CONFIGURATION_ERROR, ConfigurationError, load_settings
from shared.logging.setup import configure_logging, debug_on_signal
from workers.jobs.types import JOBS_QUEUE, REPORTS_QUEUE
from workers.process import NAME, open_worker
from workers.queue.arq_redis import JobRedis, deserialize, serialize
from workers.queue.dispatcher import ARQ_TIMEOUT_S
from workers.settings import ReportSettings, Settings
from workers.tasks import (
    clean_up,
    fail_report,
    fulfil_order,
    make_report,
    send_order_email,
    send_sales_summary,
    send_welcome_email,
    summarise_sales,
)

log = structlog.get_logger(__name__)


async def startup(ctx: dict[str, Any]) -> None:
    """Open the resources. The process exits with status 4 if the settings do not fit the servers."""
    logging.getLogger("arq").handlers.clear()
    settings: Settings = ctx["settings"]
    resources: AsyncExitStack = ctx["resources"]
    try:
        ctx["runner"] = await resources.enter_async_context(
            open_worker(settings, queue=ctx["redis"].default_queue_name)
        )
    except ConfigurationError as error:
        sys.stderr.write(f"configuration error: {error}\n")
        raise SystemExit(CONFIGURATION_ERROR) from None
    debug_on_signal(settings.log_level)
    log.info("worker_started")


async def start_report_worker(ctx: dict[str, Any]) -> None:
    """Check that the object store outlives the process in production, then start like any other worker."""
    load_settings(ReportSettings)
    await startup(ctx)


async def shutdown(ctx: dict[str, Any]) -> None:
    """Close the resources after the last job ended."""
    resources: AsyncExitStack = ctx["resources"]
    await resources.aclose()
    log.info("worker_stopped")


def keep_warnings(record: logging.LogRecord) -> bool:
    """Drop the four log records per job of ARQ, because the runner logs each attempt with its trace."""
    return record.levelno >= logging.WARNING


atexit.register(gc.freeze)  # otherwise the interpreter collects all modules at its end, in 0.4 s of CPU time
asyncio.set_event_loop(uvloop.new_event_loop())  # ARQ runs in the current loop
settings = load_settings(Settings)
configure_logging(service=NAME, level=settings.log_level, log_format=settings.log_format)
for logger in ("arq.worker", "arq.connections"):
    logging.getLogger(logger).addFilter(
        keep_warnings
    )  # a filter stays when the `arq` command later sets levels and handlers


class WorkerSettings:
    """Worker of the queue `hopline:jobs`. `arq.worker.Worker` documents the attributes."""

    functions = (
        send_welcome_email,
        send_order_email,
        fulfil_order,
        summarise_sales,
        send_sales_summary,
        clean_up,
        fail_report,
    )
    queue_name = JOBS_QUEUE
    redis_pool = JobRedis(url=str(settings.redis_url), queue_name=JOBS_QUEUE)
    redis_settings = RedisSettings.from_dsn(str(settings.redis_url))  # for `arq --check` only
    job_serializer = serialize
    job_deserializer = deserialize
    on_startup = startup
    on_shutdown = shutdown
    max_jobs = settings.max_jobs
    job_timeout = ARQ_TIMEOUT_S
    job_completion_wait = settings.shutdown_seconds
    max_tries = 1_000_000  # never reached: the table `job` counts attempts
    poll_delay = 0.002  # between two reads of the queue; `JobRedis` waits if there is no job
    keep_result = 0  # a kept result would block the job's id
    health_check_interval = 15
    log_results = False
    ctx: dict[str, Any] = {"settings": settings, "resources": AsyncExitStack()}  # noqa: RUF012 - one process, one worker


ReportWorkerSettings: dict[str, Any] = vars(WorkerSettings) | {
    "functions": (make_report,),
    "queue_name": REPORTS_QUEUE,
    "redis_pool": JobRedis(url=str(settings.redis_url), queue_name=REPORTS_QUEUE),
    "on_startup": start_report_worker,
    "max_jobs": settings.max_concurrent_reports,
}
"""Worker of the queue `hopline:reports`. It is not a subclass, because ARQ ignores inherited attributes."""
