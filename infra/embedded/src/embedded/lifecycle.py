"""Starts and stops the stack, in an order that loses no data."""

import time
from collections.abc import Collection, Mapping
from contextlib import suppress

import psutil

from embedded import orphans, postgres, processes, readiness, revisions
from embedded.environment import DATABASES
from embedded.errors import EmbeddedError, SupervisordStoppingError
from embedded.migrations import Migrator
from embedded.ports import list_conflicts
from embedded.processes import STORES, TELEMETRY, Process, Table
from embedded.stack import Stack
from embedded.supervisor import Supervisor

STOP_TIMEOUT_S = 120
"""Longer than the sum of the groups' stop timeouts."""


async def up(stack: Stack, caller: Mapping[str, str], *, only: Collection[str], seconds: float) -> bool:
    """Start the processes that are not running and wait until they are ready; return whether any was started.

    `only` limits this to the named processes and their dependencies.

    Raises:
        EmbeddedError: the start failed; the processes that it had started are stopped.
    """
    stack.create()
    table = processes.table(stack, caller)
    targets = table.selected(only)
    if problem := table.connections.problem():
        raise EmbeddedError(f"{problem} The variable POSTGRES_MAX_CONNECTIONS sets max_connections.")
    if problems := processes.missing(targets):
        raise EmbeddedError("\n".join(problems))
    supervisor = Supervisor(stack)
    if supervisor.daemon():
        return await _complete(supervisor, table, targets, seconds)
    if left := orphans.find(stack):
        print(f"stopping {len(left)} processes without a supervisor")
        orphans.stop(left)
    _check_ports(stack, targets)
    try:
        supervisor.launch(table.processes, table.environments.inherited())
        await _start(supervisor, table, targets, seconds)
    except BaseException:
        down(stack)
        raise
    return True


def is_configured_otherwise(stack: Stack, caller: Mapping[str, str]) -> bool:
    """Return whether the stack runs with other settings or commands than those for `caller`."""
    supervisor = Supervisor(stack)
    if not supervisor.daemon():
        return False
    return not supervisor.is_configured_as(processes.table(stack, caller).processes)


def _check_offset(stack: Stack, running: Collection[Process]) -> None:
    """Raise EmbeddedError if the running stack has other ports, because waiting on these ports would time out."""
    expected = [pair for process in running for pair in process.ports(stack)]
    if expected and not list_conflicts(expected):  # the processes run, but all their ports are free
        raise EmbeddedError(
            f"the stack in {stack.home} runs with another HOPLINE_PORT_OFFSET than {stack.offset}: "
            f"set the same one, stop it first (make down), or start another stack with a separate HOPLINE_HOME"
        )


async def _complete(supervisor: Supervisor, table: Table, targets: Collection[Process], seconds: float) -> bool:
    """Start the missing processes of a running stack; return whether any was missing."""
    if not supervisor.is_configured_as(table.processes):
        print("note: settings changed after the start; `make down up` applies them")
    states = supervisor.states()
    if unknown := [process.name for process in targets if process.name not in states]:
        raise EmbeddedError(f"the running stack was configured without {', '.join(unknown)}: `make down up` adds it")
    _check_offset(supervisor.stack, [process for process in targets if states[process.name].is_running])
    absent = [process for process in targets if not states[process.name].is_running]
    _check_ports(supervisor.stack, absent)
    try:
        await _start(supervisor, table, absent, seconds)
        await readiness.wait(supervisor, table, targets, seconds=seconds, since={}, report=lambda _: None)
    except BaseException:
        for process in reversed(absent):
            supervisor.stop(process)
        raise
    return bool(absent)


def _check_ports(stack: Stack, targets: Collection[Process]) -> None:
    if lines := list_conflicts(pair for process in targets for pair in process.ports(stack)):
        raise EmbeddedError("\n".join(lines))


async def _start(supervisor: Supervisor, table: Table, to_start: Collection[Process], seconds: float) -> None:
    """Start the stores and the observatory, migrate, then start the services."""
    began = time.monotonic()

    def report(process: Process) -> None:
        _progress(process.name, "ready", began)

    since = {process.name: supervisor.stack.log_size(process.name) for process in to_start}
    early = [process for process in to_start if process.group in {STORES, TELEMETRY}]
    databases = [process.database for process in to_start if process.database]
    migrator = Migrator(supervisor.stack.log("migrations"))
    try:
        if databases and not table.postgres.data.exists():
            migrator.prepare()
        # PostgreSQL is last: the others start while it creates its data directory
        for process in sorted(early, key=lambda process: process.name == "postgres"):
            if process.name == "postgres" and table.postgres.initialise(table.superuser_password()):
                _progress("postgres", "created", began)
            supervisor.start(process)
        await readiness.wait(supervisor, table, early, seconds=seconds, since=since, report=report)
        if databases:
            await create_databases(table)
            migrator.run(await revisions.outdated(table.database_urls(databases)))
            _progress("databases", "ready", began)
    finally:
        migrator.cancel()
    late = [process for process in to_start if process not in early]
    for process in late:
        supervisor.start(process)
    await readiness.wait(supervisor, table, late, seconds=seconds, since=since, report=report)


async def create_databases(table: Table) -> None:
    """Create the missing roles and databases of the services."""
    for name in DATABASES:
        password = table.environments.secrets.database_password(name)
        await postgres.ensure_database(table.superuser_url(), name=name, password=password)


async def migrate(stack: Stack, caller: Mapping[str, str]) -> None:
    """Migrate the databases of a running stack."""
    if not Supervisor(stack).daemon():
        raise EmbeddedError("the databases are not running: `make up` starts them, and migrates them too")
    table = processes.table(stack, caller)
    await create_databases(table)
    Migrator(stack.log("migrations")).run(table.database_urls(DATABASES))


def down(stack: Stack) -> bool:
    """Stop everything gracefully, services first and stores last; return whether anything was running."""
    supervisor = Supervisor(stack)
    daemon = supervisor.daemon()
    if daemon:
        _shut_down(supervisor, daemon)
    left = orphans.find(stack)
    orphans.stop(left)
    return bool(daemon or left)


def _shut_down(supervisor: Supervisor, daemon: psutil.Process) -> None:
    """Stop everything through supervisord. If supervisord does not respond or exit, kill only supervisord."""
    try:
        supervisor.shutdown()
    except SupervisordStoppingError:  # an interrupted command requested it before
        pass
    except EmbeddedError:
        with suppress(psutil.NoSuchProcess):  # it exited meanwhile
            daemon.terminate()
    if orphans.wait([daemon], timeout_s=STOP_TIMEOUT_S, between=supervisor.wake):
        with suppress(psutil.NoSuchProcess):
            daemon.kill()
        orphans.wait([daemon], timeout_s=STOP_TIMEOUT_S)


def _progress(what: str, state: str, began: float) -> None:
    print(f"  {what:<14} {state:<7} {time.monotonic() - began:4.1f} s", flush=True)


def addresses(stack: Stack) -> list[tuple[str, str]]:
    """Return the pages and APIs to open next, each with its address."""
    return [
        ("start page", f"http://localhost:{stack.port('jaeger')}"),
        ("API", f"http://localhost:{stack.port('gateway')}/v2/docs"),
        ("traces", f"http://localhost:{stack.port('jaeger')}/search"),
        ("metrics", f"http://localhost:{stack.port('prometheus')}"),
        ("mailbox", f"http://localhost:{stack.port('mailpit')}"),
        ("logs", f"http://localhost:{stack.port('loki')} (Loki's API)"),
    ]
