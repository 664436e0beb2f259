"""The environment of every process: what this mode decides, what it suggests, and what the caller may change.

The caller's own environment passes through, so that `LOG_LEVEL=DEBUG make up` or `CRASH_AT=… make up` reach the
processes. In development `.env` at the top of the checkout passes through as well, below the environment. Only
what makes the stack one stack (addresses, databases, secrets) is decided here, whatever else the shell may hold, say
the DATABASE_URL of a test run.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import load_dotenv

from embedded.secrets import Secrets
from embedded.stack import ROOT, Stack

DATABASES = ("users", "orders", "notifications", "workers")
MARK = "HOPLINE_STACK"
"""Set in every process to the stack's home: by it, processes of a lost supervisor are recognised."""

_SUGGESTED = {
    "ENVIRONMENT": "development",
    "LOG_FORMAT": "json",
    "WEB_CONCURRENCY": "1",
    "DATABASE_POOL_SIZE": "10",
    "DATABASE_MAX_OVERFLOW": "0",
    "DATABASE_RESERVE": "20",
    "HTTP_TRANSPORT": "httptools",  # the two drop-ins; aiohttp and sdk_tracer_provider are the standard packages
    "OTEL_PYTHON_TRACER_PROVIDER": "lean",
    "MALLOC_ARENA_MAX": "2",  # threads in short bursts would leave an arena of memory each
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # and malloc would keep the 19 MiB of each password's hash
}
_DECIDED = frozenset(
    {"DATABASE_URL", "REDIS_URL", "HOST", "PORT", "USERS_URL", "ORDERS_URL", "NOTIFICATIONS_URL", "JWKS_URL"}
    | {"PUBLIC_WS_URL", "TRACES_URL", "SMTP_HOST", "SMTP_PORT", "SIGNING_KEY", "WORKERS_CLIENT_SECRET"}
    | {"WORKER_RESTARTS_FILE"}
)


def worker_count(value: str) -> str:
    """Return what WEB_CONCURRENCY=auto means on this machine, 2 × cores + 1, as the services do; other values stay."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return str(min(2 * cores + 1, 64)) if value == "auto" else value


def read_dotenv(file: Path = ROOT / ".env") -> None:
    """Add the variables of `file` to this process's environment, in development; those that are set stay.

    PYTHON_DOTENV_DISABLED=1 turns it off, as it does in the services.
    """
    if (os.environ.get("ENVIRONMENT") or "development") == "development":
        load_dotenv(file)


@dataclass(frozen=True)
class Environments:
    """Environments of one stack's processes."""

    stack: Stack
    caller: Mapping[str, str]
    secrets: Secrets = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "secrets", Secrets(self.stack.secrets))

    def inherited(self) -> dict[str, str]:
        """Give what every process gets: the caller's environment without what is decided here."""
        theirs = {name: value for name, value in self.caller.items() if name.removesuffix("_FILE") not in _DECIDED}
        return {**theirs, MARK: str(self.stack.home), "PYTHONUNBUFFERED": "1", "PYTHON_DOTENV_DISABLED": "1"}

    def of(self, process: str) -> dict[str, str]:
        """Give what one process gets beside that; secrets and database URLs are named as files."""
        own = {
            "users": {
                "PORT": str(self.stack.port("users")),
                "SIGNING_KEY_FILE": str(self.secrets.signing_key()),
                "WORKERS_CLIENT_SECRET_FILE": str(self.secrets.client_secret()),
                **self._database("users"),
            },
            "orders": {"PORT": str(self.stack.port("orders")), **self._database("orders")},
            "notifications": {
                "PORT": str(self.stack.port("notifications")),
                "PUBLIC_WS_URL": f"ws://localhost:{self.stack.port('notifications')}/ws",
                **self._database("notifications"),
            },
            "gateway": {
                "PORT": str(self.stack.port("gateway")),
                "NOTIFICATIONS_URL": self.url("notifications"),
                "TRACES_URL": f"http://localhost:{self.stack.port('jaeger')}",
            },
            "worker": {
                "MAIL_FROM": self.caller.get("MAIL_FROM", "Hopline <shop@hopline.example>"),
                "NOTIFICATIONS_URL": self.url("notifications"),
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(self.stack.port("smtp")),
                "WORKERS_CLIENT_SECRET_FILE": str(self.secrets.client_secret()),
                **self._database("workers"),
            },
        }
        return {**self._common(), **own[process]}

    def url(self, service: str) -> str:
        """Give a service's address inside the stack."""
        return f"http://127.0.0.1:{self.stack.port(service)}"

    def database_url(self, name: str) -> str:
        """Give the URL by which the owner of a database logs in."""
        password = self.secrets.database_password(name)
        return f"postgresql://{name}:{password}@127.0.0.1:{self.stack.port('postgres')}/{name}"

    def max_connections(self) -> int:
        """Give how many connections the server must allow.

        Each process has one pool: WEB_CONCURRENCY processes of each service with a database, and two workers, each with
        pool + overflow connections and up to 3 of its own (relay, its listener, migrations). With the defaults
        (3 × 1 + 2) × (10 + 0 + 3) + 20 reserve = 85; never below 100, as PostgreSQL's slots are cheap.
        """
        each = self._number("DATABASE_POOL_SIZE") + self._number("DATABASE_MAX_OVERFLOW") + 3
        pools = (len(DATABASES) - 1) * self._number("WEB_CONCURRENCY") + 2
        return max(100, pools * each + self._number("DATABASE_RESERVE"))

    def _number(self, name: str) -> int:
        raw = worker_count(self.caller.get(name, ""))
        valid = raw.isascii() and raw.isdecimal()  # the service itself rejects a wrong value
        return int(raw if valid else _SUGGESTED[name])

    def _common(self) -> dict[str, str]:
        suggested = {
            **_SUGGESTED,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url("otlp"),
            "OBJECT_STORE_URL": (self.stack.home / "objects").as_uri(),
        }
        return {
            **{name: self.caller.get(name, value) for name, value in suggested.items()},
            "HOST": "127.0.0.1",
            "REDIS_URL": f"redis://127.0.0.1:{self.stack.port('valkey')}/0",
            "USERS_URL": self.url("users"),
            "ORDERS_URL": self.url("orders"),
            "JWKS_URL": f"{self.url('users')}/.well-known/jwks.json",
        }

    def _database(self, name: str) -> dict[str, str]:
        return {"DATABASE_URL_FILE": str(self.secrets.write(f"database-url-{name}", self.database_url(name)))}
