"""Gunicorn's configuration for every service: `gunicorn -c python:shared.server.gunicorn 'users.main:create_app()'`.

A graceful stop consists of the drain, 10 s for requests in flight (`shared.server.worker`), the events in progress and
the last export of telemetry. Their sum is less than `graceful_timeout`, which is less than the grace period of the
supervisor or Kubernetes.
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

from shared.auth import inherited_keys
from shared.config import GunicornSettings, load_settings
from shared.logging.setup import configure_logging

_settings = load_settings(GunicornSettings)

_is_bare_ipv6 = _settings.host.count(":") > 1 and not _settings.host.startswith("[")
bind = f"[{_settings.host}]:{_settings.port}" if _is_bare_ipv6 else f"{_settings.host}:{_settings.port}"
backlog = _settings.backlog
workers = _settings.web_concurrency
worker_class = "shared.server.worker.DrainingWorker"

keepalive = 75
"""Seconds; longer than the clients of other services keep an idle connection (shared.http.client: 30 s)."""

timeout = 30
"""Seconds after which the master kills a worker whose event loop is blocked."""

graceful_timeout = 25
"""Seconds that a worker has to stop after SIGTERM, including the drain and the shutdown of the lifespan."""

DEFAULT_MAX_REQUESTS = 100_000
"""Requests after which a worker is replaced, to limit slow memory leaks. The usual 1,000 would be reached within
seconds. With one worker the default is 0 (never), since nothing serves while it is replaced."""

_unset_limit = DEFAULT_MAX_REQUESTS if workers > 1 else 0
max_requests = _unset_limit if _settings.max_requests is None else _settings.max_requests
max_requests_jitter = max_requests // 10
"""The jitter prevents several workers from being replaced at the same time."""

GC_THRESHOLDS = (10_000, 20, 50)
"""Thresholds of `gc.set_threshold`. A request creates thousands of objects and frees nearly all by reference counts."""

worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - for the heartbeat, which must not wait for a disk
control_socket_disable = True
forwarded_allow_ips = _settings.forwarded_allow_ips
"""Trusted proxies. Without it, all clients of a reverse proxy share its address and one rate limit."""
accesslog = None


def _module() -> str:
    """Return `users.main` of `'users.main:create_app()'`, the last argument of the command line."""
    return sys.argv[-1].partition(":")[0]


class StructuredLogger(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Writes gunicorn's own log records in the format of the service."""

    def setup(self, cfg: Config) -> None:
        """Replace gunicorn's handlers by the service's configuration."""
        configure_logging(
            service=_module().partition(".")[0], level=_settings.log_level, log_format=_settings.log_format
        )
        self.loglevel = self.error_log.getEffectiveLevel()
        self.access_log.propagate = False  # shared.web.middleware writes the access log
        self.cfg = cfg


logger_class = StructuredLogger


def on_starting(_server: Arbiter) -> None:
    """Import the application in the master, before it forks.

    Workers share the memory of the code, which is half of a service's memory, and start in a fraction of a second. Each
    worker creates its own application, so no connection, thread or telemetry crosses a fork. Only the public keys of
    access tokens cross it, so that a reload does not depend on the users service.
    """
    import_module(_module())
    inherited_keys.allocate()
    gc.freeze()


_forks = count(1)


def pre_fork(_server: Arbiter, _worker: Worker) -> None:
    """Count a replaced worker: every fork after the first `workers`."""
    if next(_forks) > workers and (file := _settings.worker_restarts_file):
        with suppress(OSError), file.open("ab") as restarts:
            restarts.write(b"\n")


def post_worker_init(_worker: Worker) -> None:
    """Exclude the objects of the application from garbage collection.

    Full collections of all routes and models would take a fifth of the CPU time of a dashboard.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
