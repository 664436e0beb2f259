"""The process table: all processes of the stack as data, in starting order."""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedded import pgbouncer, postgres, valkey
from embedded.connections import budget
from embedded.environment import DATABASES, Environments
from embedded.errors import EmbeddedError
from embedded.ports import PORTS, Port
from embedded.postgres import SUPERUSER, Postgres
from embedded.stack import ROOT, Stack
from embedded.valkey import Valkey
from shared.connections import SUPERUSER_RESERVED, ConnectionBudget

STORES, TELEMETRY, SERVICES = "stores", "telemetry", "services"
"""The groups in starting order. They stop in the opposite order, so that the observatory receives the last spans."""

MIN_MAX_CONNECTIONS = 100
"""Minimum of max_connections: PostgreSQL's default. Unused slots cost little memory."""

GRACE_SECONDS = 45
"""Time for a service or worker to stop; `infra/k8s/base/templates/process/deployment.yaml` has the calculation."""

RELOAD_STOP_SECONDS = 15
"""Stop timeout of a process under a reloader, longer than the `--sigint-timeout` of watchfiles."""

RELOAD = "HOPLINE_RELOAD"
"""The variable with the names of the processes that restart when their source changes, separated by commas."""
RELOADABLE = {
    "gateway": "services/gateway",
    "users": "services/users",
    "orders": "services/orders",
    "notifications": "services/notifications",
    "worker": "workers",
    "report-worker": "workers",
}
"""The processes that can restart when their source changes, with the folders of their packages."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """How to run, stop and check one process."""

    name: str
    group: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    database: str | None = None
    ready_url: str | None = None
    ready_key: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int
    account: str | None = None

    def ports(self, stack: Stack) -> list[tuple[Port, int]]:
        """Return its ports, with their numbers in `stack`."""
        return [(port, stack.port(name)) for name, port in PORTS.items() if port.process == self.name]


@dataclass(frozen=True, kw_only=True)
class Table:
    """All processes of one stack, and the two stores, to which commands connect directly."""

    processes: list[Process]
    postgres: Postgres
    valkey: Valkey
    environments: Environments
    connections: ConnectionBudget

    def superuser_url(self) -> str:
        """Return the URL of PostgreSQL for the superuser."""
        return self.postgres.url(self.superuser_password())

    def database_urls(self, names: Iterable[str]) -> dict[str, str]:
        """Return the URLs of databases for their owners."""
        return {name: self.environments.database_url(name) for name in names}

    def superuser_password(self) -> str:
        """Return the password of the superuser."""
        return self.environments.secrets.database_password(SUPERUSER)

    def selected(self, names: Iterable[str]) -> list[Process]:
        """Return the named processes and their dependencies in starting order, or all processes if no name is given."""
        by_name = {process.name: process for process in self.processes}
        pending, chosen = list(names) or list(by_name), set[str]()
        while pending:
            name = pending.pop()
            if name not in by_name:
                raise EmbeddedError(f"Unknown process {name!r}. Expected one of: {', '.join(by_name)}")
            if name not in chosen:
                chosen.add(name)
                pending.extend(by_name[name].needs)
        return [process for process in self.processes if process.name in chosen]


def table(stack: Stack, caller: Mapping[str, str]) -> Table:
    """Return the table of a created stack; `caller` is the environment of the user's shell."""
    environments = Environments(stack, caller)
    database = postgres.prepare(stack.home / "postgres", port=stack.port("postgres"))
    broker = valkey.prepare(stack.home / "valkey", port=stack.port("valkey"))
    poolers = [_pooler(stack, environments)] if environments.pooled else []
    services = [_service(name, stack, environments) for name in ("users", "orders", "notifications", "gateway")]
    workers = [
        _worker("worker", environments, settings="WorkerSettings", queue="hopline:jobs"),
        _worker("report-worker", environments, settings="ReportWorkerSettings", queue="hopline:reports"),
    ]
    connections = _budget(environments, [*poolers, *services, *workers])
    stores = [
        Process(
            name="postgres",
            group=STORES,
            command=database.argv(max_connections=connections.available + SUPERUSER_RESERVED),
            stop_signal="INT",  # TERM would wait until all clients disconnect
            stop_seconds=60,
            account=database.account.name if database.account else None,
        ),
        Process(name="valkey", group=STORES, command=broker.argv(), stop_seconds=30),
        *poolers,
    ]
    observatory = Process(
        name="observatory",
        group=TELEMETRY,
        command=[sys.executable, "-m", "observatory"],
        environment={"HOST": "127.0.0.1", "HOPLINE_PORT_OFFSET": str(stack.offset)},
        ready_url=f"http://127.0.0.1:{stack.port('jaeger')}/api/services",
        stop_seconds=10,
    )
    reloaded = reloaded_names(caller)
    ours = [reloading(process) if process.name in reloaded else process for process in (*services, *workers)]
    return Table(
        processes=[*stores, observatory, *ours],
        postgres=database,
        valkey=broker,
        environments=environments,
        connections=connections,
    )


def _budget(environments: Environments, processes: Iterable[Process]) -> ConnectionBudget:
    """Return the sum of connections with its limit: POSTGRES_MAX_CONNECTIONS, or a limit that is large enough."""
    named = [(process.name, process.environment) for process in processes]
    needed = budget(named, available=0).needed + SUPERUSER_RESERVED
    allowed = environments.number("POSTGRES_MAX_CONNECTIONS", max(MIN_MAX_CONNECTIONS, needed))
    return budget(named, available=allowed - SUPERUSER_RESERVED)


def _pooler(stack: Stack, environments: Environments) -> Process:
    server = pgbouncer.prepare(stack.home / "pgbouncer", port=stack.port("pgbouncer"))
    own = environments.pooler()
    urls = [environments.database_url(name) for name in DATABASES]
    server.write(urls, pool_size=int(own["PGBOUNCER_POOL_SIZE"]))
    return Process(
        name="pgbouncer",
        group=STORES,
        command=server.argv(),
        environment=own,
        needs=("postgres",),
        stop_signal="INT",
        stop_seconds=10,
        account=server.account.name if server.account else None,
    )


def _service(name: str, stack: Stack, environments: Environments) -> Process:
    others = {
        "users": (),
        "orders": ("users",),
        "notifications": ("users",),
        "gateway": ("users", "orders", "notifications"),
    }
    return Process(
        name=name,
        group=SERVICES,
        command=[_script("gunicorn"), "-c", "python:shared.server.gunicorn", f"{name}.main:create_app()"],
        environment={**environments.of(name), "WORKER_RESTARTS_FILE": str(stack.worker_restarts(name))},
        needs=(*_stores(environments), "observatory", *others[name]),
        database=name if name in DATABASES else None,
        ready_url=f"http://127.0.0.1:{stack.port(name)}/health/ready",
        stop_seconds=GRACE_SECONDS,
    )


def _worker(name: str, environments: Environments, *, settings: str, queue: str) -> Process:
    """Return a worker. The two workers read different queues, so that reports do not delay emails."""
    return Process(
        name=name,
        group=SERVICES,
        command=[_script("arq"), f"workers.main.{settings}"],
        environment=environments.of("worker"),
        database="workers",
        needs=(*_stores(environments), "observatory", "users", "orders"),
        ready_key=f"{queue}:health-check",  # ARQ writes it when it is ready, and then every 15 s
        stop_seconds=GRACE_SECONDS,
    )


def _stores(environments: Environments) -> tuple[str, ...]:
    return ("postgres", "valkey", *(["pgbouncer"] if environments.pooled else []))


def reloaded_names(caller: Mapping[str, str]) -> set[str]:
    """Return the names of the processes in HOPLINE_RELOAD.

    Raises:
        EmbeddedError: A name is unknown.
    """
    names = {name for name in caller.get(RELOAD, "").split(",") if name}
    if unknown := names - set(RELOADABLE):
        raise EmbeddedError(f"{RELOAD}: unknown process {', '.join(sorted(unknown))}: expected {', '.join(RELOADABLE)}")
    return names


def reloading(process: Process) -> Process:
    """Return the process so that it restarts when a file in its package or in shared changes."""
    package = RELOADABLE[process.name]
    folders = [str(ROOT / package / "src"), str(ROOT / "shared" / "src")]
    if package == "workers":  # `arq --watch` restarts the worker without importing the changed modules again
        watch = ["--filter", "python", "--target-type", "command", "--sigint-timeout", "10"]
        command = [_script("watchfiles"), *watch, shlex.join(process.command), *folders]
    else:
        watch = ["--reload", *(word for folder in folders for word in ("--reload-dir", folder))]
        listen = ["--host", "127.0.0.1", "--port", process.environment["PORT"]]
        options = ["--factory", "--no-access-log", "--timeout-graceful-shutdown", "1"]
        command = [_script("uvicorn"), f"{process.name}.main:create_app", *options, *listen, *watch]
    return replace(process, command=command, stop_seconds=RELOAD_STOP_SECONDS)


def _script(name: str) -> str:
    """Return the path of a console script of this Python environment."""
    return str(Path(sys.executable).parent / name)


def missing(processes: Iterable[Process]) -> list[str]:
    """Return one line for each missing program or package."""
    lines = [
        f"{process.name}: {process.command[0]} is missing: run `make` to install the requirements"
        for process in processes
        if not os.access(process.command[0], os.X_OK)
    ]
    if not (ROOT / "services").is_dir():
        lines.append(f"{ROOT} is not a checkout of Hopline: install this package with `pip install -e`")
    return lines
