"""The process table: every process of the stack as data, in the order in which they start."""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedded import postgres, valkey
from embedded.environment import DATABASES, Environments
from embedded.errors import EmbeddedError
from embedded.ports import PORTS, Port
from embedded.postgres import SUPERUSER, Postgres
from embedded.stack import ROOT, Stack
from embedded.valkey import Valkey

STORES, TELEMETRY, SERVICES = "stores", "telemetry", "services"
"""The groups, first to start first; they stop in the opposite order, so that a last span still arrives."""

GRACE_SECONDS = 45
"""What a service or a worker gets to leave; `infra/k8s/base/templates/process/deployment.yaml` does the sum."""


RELOAD = "HOPLINE_RELOAD"
RELOADABLE = {
    "gateway": "services/gateway",
    "users": "services/users",
    "orders": "services/orders",
    "notifications": "services/notifications",
    "worker": "workers",
    "report-worker": "workers",
}
"""The processes that can restart when their source changes, and the folders of their packages."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """How one process is run, stopped and asked whether it is ready."""

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
        """Give its ports with their numbers in `stack`."""
        return [(port, stack.port(name)) for name, port in PORTS.items() if port.process == self.name]


@dataclass(frozen=True, kw_only=True)
class Table:
    """All processes of one stack, with the two stores that commands also talk to directly."""

    processes: list[Process]
    postgres: Postgres
    valkey: Valkey
    environments: Environments

    def superuser_url(self) -> str:
        """Give the URL by which this tool itself logs in to PostgreSQL."""
        return self.postgres.url(self.superuser_password())

    def database_urls(self, names: Iterable[str]) -> dict[str, str]:
        """Give the URLs by which the owners of databases log in."""
        return {name: self.environments.database_url(name) for name in names}

    def superuser_password(self) -> str:
        """Give the password that goes with it."""
        return self.environments.secrets.database_password(SUPERUSER)

    def selected(self, names: Iterable[str]) -> list[Process]:
        """Give the named processes and all that they need, in starting order; no names means all of them."""
        by_name = {process.name: process for process in self.processes}
        pending, chosen = list(names) or list(by_name), set[str]()
        while pending:
            name = pending.pop()
            if name not in by_name:
                raise EmbeddedError(f"no process {name!r}: there are {', '.join(by_name)}")
            if name not in chosen:
                chosen.add(name)
                pending.extend(by_name[name].needs)
        return [process for process in self.processes if process.name in chosen]


def table(stack: Stack, caller: Mapping[str, str]) -> Table:
    """Build the table of a created stack; `caller` is the environment of the person's shell."""
    environments = Environments(stack, caller)
    database = postgres.prepare(stack.home / "postgres", port=stack.port("postgres"))
    broker = valkey.prepare(stack.home / "valkey", port=stack.port("valkey"))
    stores = [
        Process(
            name="postgres",
            group=STORES,
            command=database.argv(max_connections=environments.max_connections()),
            stop_signal="INT",  # TERM would wait for every client to leave
            stop_seconds=60,
            account=database.account.name if database.account else None,
        ),
        Process(name="valkey", group=STORES, command=broker.argv(), stop_seconds=30),
    ]
    observatory = Process(
        name="observatory",
        group=TELEMETRY,
        command=[sys.executable, "-m", "observatory"],
        environment={"HOST": "127.0.0.1", "HOPLINE_PORT_OFFSET": str(stack.offset)},
        ready_url=f"http://127.0.0.1:{stack.port('jaeger')}/api/services",
        stop_seconds=10,
    )
    services = [_service(name, stack, environments) for name in ("users", "orders", "notifications", "gateway")]
    workers = [
        _worker("worker", environments, settings="WorkerSettings", queue="hopline:jobs"),
        _worker("report-worker", environments, settings="ReportWorkerSettings", queue="hopline:reports"),
    ]
    reloaded = reloaded_names(caller)
    ours = [reloading(process) if process.name in reloaded else process for process in (*services, *workers)]
    return Table(
        processes=[*stores, observatory, *ours],
        postgres=database,
        valkey=broker,
        environments=environments,
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
        command=[_script("gunicorn"), "-c", "python:shared.gunicorn", f"{name}.main:create_app()"],
        environment={**environments.of(name), "WORKER_RESTARTS_FILE": str(stack.worker_restarts(name))},
        needs=("postgres", "valkey", "observatory", *others[name]),
        database=name if name in DATABASES else None,
        ready_url=f"http://127.0.0.1:{stack.port(name)}/health/ready",
        stop_seconds=GRACE_SECONDS,
    )


def _worker(name: str, environments: Environments, *, settings: str, queue: str) -> Process:
    """One program over one database: the two differ in the queue they read, so that no report delays an email."""
    return Process(
        name=name,
        group=SERVICES,
        command=[_script("arq"), f"workers.main.{settings}"],
        environment=environments.of("worker"),
        database="workers",
        needs=("postgres", "valkey", "observatory", "users", "orders"),
        ready_key=f"{queue}:health-check",  # ARQ writes it once it works, and every 15 s
        stop_seconds=GRACE_SECONDS,
    )


def reloaded_names(caller: Mapping[str, str]) -> set[str]:
    """Return the processes that `HOPLINE_RELOAD` names, separated by commas.

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
    return replace(process, command=command, stop_seconds=15)


def _script(name: str) -> str:
    """Give the path of a console script installed beside this Python."""
    return str(Path(sys.executable).parent / name)


def missing(processes: Iterable[Process]) -> list[str]:
    """Give one line for each program or package that a start would not find."""
    lines = [
        f"{process.name}: {process.command[0]} is missing; install the requirements (make does)"
        for process in processes
        if not os.access(process.command[0], os.X_OK)
    ]
    if not (ROOT / "services").is_dir():
        lines.append(f"{ROOT} is no checkout of Hopline: install this package with `pip install -e`")
    return lines
