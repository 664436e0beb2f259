"""Gunicorn's configuration for every service: `gunicorn -c python:shared.gunicorn users.main:create_app()`.

The arithmetic of a graceful stop: drains while sockets still answer + 10 s for requests in flight (`shared.worker`) +
events in hand + the last telemetry < graceful_timeout < the supervisor's or Kubernetes' grace period.
"""

import gc
import logging
import os
import sys
from importlib import import_module
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from shared.logging import configure_logging
from shared.settings import LogFormat

bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
worker_class = "shared.worker.DrainingWorker"

keepalive = 75
"""Seconds; longer than any client of ours keeps an idle connection (shared.http: 30 s)."""

timeout = 30
"""Seconds without a sign from the event loop before the master kills a worker: it is blocked, not merely slow."""

graceful_timeout = 25
"""Seconds that a worker gets to leave after SIGTERM, its drains and its lifespan's shutdown included."""

max_requests = int(os.environ.get("MAX_REQUESTS", "0"))
"""Requests after which a worker is replaced; 0 is never. The jitter keeps several from going at once."""
max_requests_jitter = max_requests // 10

GARBAGE = (10_000, 20, 50)
"""Objects that may be waiting for collection (a request makes some thousands, and frees nearly all by itself), then how
many young collections are one of the middle generation, and how many of those a full one."""

worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - the heartbeat must not wait for a disk
control_socket_disable = True
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")
"""Whose word about a client's address and scheme counts (`X-Forwarded-*`): addresses and networks, by comma; nobody's
by default. A proxy in front must be named, or all its clients share one address and its rate limit."""
accesslog = None


def _module() -> str:
    """`users.main` of `users.main:create_app()`, the last word of the command line."""
    return sys.argv[-1].partition(":")[0]


class StructuredLogger(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn's own lines in the format of everybody else's."""

    def setup(self, cfg: Config) -> None:
        """Replace gunicorn's handlers with the process's."""
        level, log_format = os.environ.get("LOG_LEVEL", ""), os.environ.get("LOG_FORMAT", "")
        configure_logging(  # a wrong value is for the application's settings to name
            service=_module().partition(".")[0],
            level=level if level in logging.getLevelNamesMapping() else "INFO",
            log_format=LogFormat(log_format) if log_format in set(LogFormat) else LogFormat.AUTO,
        )
        self.loglevel = self.error_log.getEffectiveLevel()
        self.access_log.propagate = False  # shared.middleware writes the access line
        self.cfg = cfg


logger_class = StructuredLogger


def on_starting(_server: Arbiter) -> None:
    """Import the application in the master, before it forks.

    Workers share its code pages (half the memory of a service) and a killed worker is back in a fraction of a second.
    The application itself is made in each worker: no connection, thread or telemetry crosses a fork.
    """
    import_module(_module())
    gc.freeze()


def post_worker_init(_worker: Worker) -> None:
    """Let the collector of garbage look at what requests leave behind, and no more at what the application is made of.

    A full collection went through every route and model; a fifth of the processor time of a dashboard was that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
