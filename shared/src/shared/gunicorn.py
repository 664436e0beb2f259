"""Gunicorn's configuration for every service: `gunicorn -c python:shared.gunicorn users.main:create_app()`.

The arithmetic of a graceful stop: drains while sockets still answer + 10 s for requests in flight (`shared.worker`) +
events in hand + the last telemetry < graceful_timeout < the supervisor's or Kubernetes' grace period.
"""

import gc
import sys
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from shared.logging import configure_logging
from shared.settings import GunicornSettings, load_settings
from shared.tokens import inherited_keys

_settings = load_settings(GunicornSettings)

bind = f"{_settings.host}:{_settings.port}"
backlog = _settings.backlog
workers = _settings.web_concurrency
worker_class = "shared.worker.DrainingWorker"

keepalive = 75
"""Seconds; longer than any client of ours keeps an idle connection (shared.http: 30 s)."""

timeout = 30
"""Seconds without a sign from the event loop before the master kills a worker: it is blocked, not merely slow."""

graceful_timeout = 25
"""Seconds that a worker gets to leave after SIGTERM, its drains and its lifespan's shutdown included."""

REPLACED_AFTER = 100_000
"""Requests of a worker. The usual 1,000 would replace a worker every few seconds here; this bounds what a slow leak of
memory can take, and is off with one worker, since nothing serves while it is replaced."""

_unset_limit = REPLACED_AFTER if workers > 1 else 0
max_requests = _unset_limit if _settings.max_requests is None else _settings.max_requests
max_requests_jitter = max_requests // 10
"""The jitter keeps several workers from being replaced at once."""

GARBAGE = (10_000, 20, 50)
"""Objects that may be waiting for collection (a request makes some thousands, and frees nearly all by itself), then how
many young collections are one of the middle generation, and how many of those a full one."""

worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - the heartbeat must not wait for a disk
control_socket_disable = True
forwarded_allow_ips = _settings.forwarded_allow_ips
"""Trusted proxies. A proxy in front must be named, or all its clients share one address and its rate limit."""
accesslog = None


def _module() -> str:
    """`users.main` of `users.main:create_app()`, the last word of the command line."""
    return sys.argv[-1].partition(":")[0]


class StructuredLogger(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn's own lines in the format of everybody else's."""

    def setup(self, cfg: Config) -> None:
        """Replace gunicorn's handlers with the process's."""
        configure_logging(
            service=_module().partition(".")[0], level=_settings.log_level, log_format=_settings.log_format
        )
        self.loglevel = self.error_log.getEffectiveLevel()
        self.access_log.propagate = False  # shared.middleware writes the access line
        self.cfg = cfg


logger_class = StructuredLogger


def on_starting(_server: Arbiter) -> None:
    """Import the application in the master, before it forks.

    Workers share its code pages (half the memory of a service) and a killed worker is back in a fraction of a second.
    The application itself is made in each worker: no connection, thread or telemetry crosses a fork. Only the published
    keys of access tokens do, so that a reload does not depend on the users service.
    """
    import_module(_module())
    inherited_keys.share()
    gc.freeze()


_forks = count(1)


def pre_fork(_server: Arbiter, _worker: Worker) -> None:
    """Record in the master that it replaces a worker, for whatever reason: a fork beyond the first `workers`."""
    if next(_forks) > workers and (file := _settings.worker_restarts_file):
        with suppress(OSError), file.open("ab") as restarts:
            restarts.write(b"\n")


def post_worker_init(_worker: Worker) -> None:
    """Let the collector of garbage look at what requests leave behind, and no more at what the application is made of.

    A full collection went through every route and model; a fifth of the processor time of a dashboard was that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
