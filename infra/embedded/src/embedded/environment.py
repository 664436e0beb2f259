"""The environment variables of every process.

Processes inherit the caller's environment, so `LOG_LEVEL=DEBUG make up` and `CRASH_AT=… make up` work. In development
they also inherit `.env` at the top of the checkout; variables of the shell take precedence over it. The addresses,
databases and secrets of a stack are always set here, even if the shell has variables of the same name, such as the
DATABASE_URL of a test run.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import load_dotenv

from embedded.errors import EmbeddedError
from embedded.secrets import Secrets
from embedded.stack import ROOT, Stack
from shared.connections import MAX_OVERFLOW, PGBOUNCER_POOL_SIZE, POOL_SIZE, RESERVE

DATABASES = ("users", "orders", "notifications", "workers")
STACK_VARIABLE = "HOPLINE_STACK"
"""Set in every process to the stack's home. It identifies processes that lost their supervisor."""

_DEFAULTS = {
    "ENVIRONMENT": "development",
    "LOG_FORMAT": "json",
    "WEB_CONCURRENCY": "1",
    "DATABASE_POOL_SIZE": str(POOL_SIZE),
    "DATABASE_MAX_OVERFLOW": str(MAX_OVERFLOW),
    "DATABASE_RESERVE": str(RESERVE),
    "HTTP_TRANSPORT": "httptools",  # the two drop-ins; aiohttp and sdk_tracer_provider are the standard packages
    "OTEL_PYTHON_TRACER_PROVIDER": "lean",
    "MALLOC_ARENA_MAX": "2",  # otherwise each short-lived thread leaves an arena of memory
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # otherwise malloc keeps 19 MiB for each password hash
}
_SET_BY_THE_STACK = frozenset(
    {"DATABASE_URL", "DATABASE_POOLER_URL", "REDIS_URL", "HOST", "PORT", "USERS_URL", "ORDERS_URL"}
    | {"NOTIFICATIONS_URL", "JWKS_URL", "METRICS_URL"}
    | {"PUBLIC_WS_URL", "TRACES_URL", "MAIL_URL", "SMTP_HOST", "SMTP_PORT", "SIGNING_KEY", "WORKERS_CLIENT_SECRET"}
    | {"WORKER_RESTARTS_FILE"}
)
"""Variables of the caller that processes do not inherit."""


def worker_count(value: str) -> str:
    """Return 2 × cores + 1, at most 64, for `auto` as the services do; any other WEB_CONCURRENCY unchanged."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return str(min(2 * cores + 1, 64)) if value == "auto" else value


def is_pooled(caller: Mapping[str, str]) -> bool:
    """Return whether HOPLINE_PGBOUNCER enables PgBouncer. Raises EmbeddedError for a value other than 0 and 1."""
    value = caller.get("HOPLINE_PGBOUNCER") or "0"
    if value not in {"0", "1"}:
        raise EmbeddedError(f"HOPLINE_PGBOUNCER={value}: expected 0 or 1")
    return value == "1"


def read_dotenv(file: Path = ROOT / ".env") -> None:
    """Add the variables of `file` to this process's environment, in development. Variables that are set do not change.

    PYTHON_DOTENV_DISABLED=1 disables it, as in the services.
    """
    if (os.environ.get("ENVIRONMENT") or "development") == "development":
        load_dotenv(file)


@dataclass(frozen=True)
class Environments:
    """The environments of the processes of one stack."""

    stack: Stack
    caller: Mapping[str, str]
    secrets: Secrets = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "secrets", Secrets(self.stack.secrets))

    def inherited(self) -> dict[str, str]:
        """Return the variables for every process: the caller's environment without the variables that are set here."""
        theirs = {
            name: value for name, value in self.caller.items() if name.removesuffix("_FILE") not in _SET_BY_THE_STACK
        }
        return {**theirs, STACK_VARIABLE: str(self.stack.home), "PYTHONUNBUFFERED": "1", "PYTHON_DOTENV_DISABLED": "1"}

    def of(self, process: str) -> dict[str, str]:
        """Return the additional variables of one process. Secrets and database URLs are names of files."""
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
                "PUBLIC_WS_URL": self._websocket_url,
                **self._database("notifications"),
            },
            "gateway": {
                "PORT": str(self.stack.port("gateway")),
                "NOTIFICATIONS_URL": self.url("notifications"),
                "PUBLIC_WS_URL": self._websocket_url,
                "TRACES_URL": f"http://localhost:{self.stack.port('jaeger')}",
                "METRICS_URL": f"http://localhost:{self.stack.port('prometheus')}",
                "MAIL_URL": f"http://localhost:{self.stack.port('mailpit')}",
            },
            "worker": {
                "MAIL_FROM": self.caller.get("MAIL_FROM") or "Hopline <shop@hopline.example>",
                "NOTIFICATIONS_URL": self.url("notifications"),
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(self.stack.port("smtp")),
                "WORKERS_CLIENT_SECRET_FILE": str(self.secrets.client_secret()),
                **self._database("workers"),
            },
        }
        return {**self._common(), **own[process]}

    @property
    def _websocket_url(self) -> str:
        return f"ws://localhost:{self.stack.port('notifications')}/ws"

    def url(self, service: str) -> str:
        """Return a service's address inside the stack."""
        return f"http://127.0.0.1:{self.stack.port(service)}"

    def database_url(self, name: str) -> str:
        """Return the URL of a database for its owner."""
        password = self.secrets.database_password(name)
        return f"postgresql://{name}:{password}@127.0.0.1:{self.stack.port('postgres')}/{name}"

    @property
    def pooled(self) -> bool:
        """Whether the services connect through PgBouncer. Raises EmbeddedError for an invalid value."""
        return is_pooled(self.caller)

    def pooler(self) -> dict[str, str]:
        """Return the environment of PgBouncer."""
        return {"PGBOUNCER_POOL_SIZE": str(self.number("PGBOUNCER_POOL_SIZE", PGBOUNCER_POOL_SIZE))}

    def number(self, name: str, default: int) -> int:
        """Return a setting of the stack. Raises EmbeddedError for a value that is not a positive whole number."""
        raw = self.caller.get(name) or str(default)
        if not (raw.isascii() and raw.isdecimal() and int(raw)):
            raise EmbeddedError(f"{name}={raw}: expected a whole number of at least 1")
        return int(raw)

    def _common(self) -> dict[str, str]:
        defaults = {**_DEFAULTS, "OBJECT_STORE_URL": (self.stack.home / "objects").as_uri()}
        return {
            **{name: self.caller.get(name) or value for name, value in defaults.items()},
            # an empty value disables the export (docs/deploy.md), so it is not replaced
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.caller.get("OTEL_EXPORTER_OTLP_ENDPOINT", self.url("otlp")),
            "HOST": "127.0.0.1",
            "REDIS_URL": f"redis://127.0.0.1:{self.stack.port('valkey')}/0",
            "USERS_URL": self.url("users"),
            "ORDERS_URL": self.url("orders"),
            "JWKS_URL": f"{self.url('users')}/.well-known/jwks.json",
        }

    def _database(self, name: str) -> dict[str, str]:
        pooler = f"postgresql://127.0.0.1:{self.stack.port('pgbouncer')}?sslmode=disable"
        return {
            "DATABASE_URL_FILE": str(self.secrets.write(f"database-url-{name}", self.database_url(name))),
            **({"DATABASE_POOLER_URL": pooler} if self.pooled else {}),
        }
