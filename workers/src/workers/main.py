"""The workers: `arq workers.main.WorkerSettings`, and for long jobs `arq workers.main.ReportWorkerSettings`."""

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import structlog
import uvloop
from arq import func
from arq.connections import RedisSettings

from shared.logging import configure_logging, debug_on_signal
from shared.settings import CONFIGURATION_ERROR, ConfigurationError, load_settings
from workers.arq_redis import PatientRedis
from workers.dispatch import ARQ_TIMEOUT_S, RUN, deserialize, serialize
from workers.kinds import JOBS_QUEUE, REPORTS_QUEUE
from workers.process import NAME, open_worker
from workers.runner import Runner
from workers.settings import ReportSettings, Settings
from workers.stop import GracefulStop

log = structlog.get_logger(__name__)

POLL_S = 0.02
"""ARQ asks Redis for due jobs this often: p50 of a job's start is about half of it (ARQ's own 0.5 s: 330 ms)."""
ARQ_TRIES = 1_000_000
"""ARQ's own bound must never bite: the ledger counts attempts."""
HEALTH_EVERY_S = 15
"""How often the key is written that `arq --check workers.main.WorkerSettings` looks at."""


QUEUES = {"WorkerSettings": JOBS_QUEUE, "ReportWorkerSettings": REPORTS_QUEUE}
"""The names that ARQ is given, and the queue that each such worker reads."""


def worker_settings(settings: Settings, *, queue: str = JOBS_QUEUE) -> dict[str, Any]:
    """The settings ARQ runs a worker of `queue` with."""
    configure_logging(service=NAME, level=settings.log_level, log_format=settings.log_format)
    _quiet_arq()
    return {
        "functions": [func(run, name=RUN)],
        "queue_name": queue,
        "redis_pool": PatientRedis(str(settings.redis_url), queue=queue),
        "redis_settings": RedisSettings.from_dsn(str(settings.redis_url)),  # for `arq --check` only
        "job_serializer": serialize,
        "job_deserializer": deserialize,
        "on_startup": startup,
        "on_shutdown": shutdown,
        "poll_delay": POLL_S,
        "max_jobs": settings.reports_at_once if queue == REPORTS_QUEUE else settings.max_jobs,
        "job_timeout": ARQ_TIMEOUT_S,
        "max_tries": ARQ_TRIES,
        "keep_result": 0,  # a kept result would block the job's id
        "handle_signals": False,  # workers.stop does
        "health_check_interval": HEALTH_EVERY_S,
        "log_results": False,
        "ctx": {"settings": settings, "queue": queue, "open": AsyncExitStack()},
    }


def __getattr__(name: str) -> Any:
    """Make the settings when ARQ asks for them, so that importing this module reads and opens nothing.

    ARQ takes the loop that it finds: on uvloop an idle worker's polling costs an eighth less.
    """
    if name in QUEUES:
        queue = QUEUES[name]
        asyncio.set_event_loop(uvloop.new_event_loop())
        return worker_settings(load_settings(ReportSettings if queue == REPORTS_QUEUE else Settings), queue=queue)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


async def run(ctx: dict[str, Any], job_id: str) -> None:
    """ARQ's one function: make an attempt at the job that the ledger has under `job_id`."""
    runner: Runner = ctx["runner"]
    await runner.run(UUID(job_id))


async def startup(ctx: dict[str, Any]) -> None:
    """Open everything; end the process with status 4 where the settings contradict what is found."""
    logging.getLogger("arq").handlers.clear()
    settings: Settings = ctx["settings"]
    resources: AsyncExitStack = ctx["open"]
    ctx["stop"] = GracefulStop(redis=ctx["redis"], close=resources.aclose, patience_s=settings.shutdown_seconds)
    try:
        ctx["runner"] = await resources.enter_async_context(open_worker(settings, queue=ctx["queue"]))
    except ConfigurationError as error:
        sys.stderr.write(f"configuration error: {error}\n")
        raise SystemExit(CONFIGURATION_ERROR) from None
    ctx["stop"].listen()
    debug_on_signal(settings.log_level)
    log.info("worker_started")


async def shutdown(ctx: dict[str, Any]) -> None:
    """Close what is still open, where the worker ends by anything but a signal."""
    resources: AsyncExitStack = ctx["open"]
    await resources.aclose()
    log.info("worker_stopped")


def _quiet_arq() -> None:
    """Keep ARQ's warnings and drop its four lines per job: the runner's own say more, with the trace.

    By filters, since the `arq` command sets levels and handlers after this.
    """
    for name in ("arq.worker", "arq.connections"):
        logging.getLogger(name).addFilter(_worth_reading)


def _worth_reading(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
