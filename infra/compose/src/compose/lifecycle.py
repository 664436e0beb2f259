"""Starts and stops the project: build or pull images, start PostgreSQL, create databases, start everything."""

import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from compose.engine import Container, Engine
from compose.errors import ComposeError
from compose.project import DATABASES, POOLER, PUBLISHED, Project
from embedded.connections import budget
from embedded.logs import brief
from embedded.ports import list_conflicts
from shared.connections import PGBOUNCER_POOL_SIZE, SUPERUSER_RESERVED

POLL_INTERVAL_S = 0.5
LAST_LINES = 15
_ERASE = "\x1b[2K"
"""Compose erases its progress before a line, even if the output is not a terminal."""
MIGRATIONS = tuple(f"migrate-{name}" for name in DATABASES)


def up(
    project: Project, engine: Engine, *, only: Sequence[str], scale: Sequence[str], build: bool, seconds: float
) -> bool:
    """Start the services that are not running and wait until they are ready; return whether any was started.

    Without `build`, it uses existing images or pulls them from a registry (IMAGE_PREFIX, VERSION).

    Raises:
        ComposeError: the start failed. If nothing ran before, everything is stopped again.
    """
    engine.check()
    _reject_too_many_connections(engine, scale)
    project.write_secrets(pooler_size=_pooler_size(engine))
    before = _running(engine)
    processes = _with_dependencies(engine, only)
    _check_ports(project, processes - set(before.values()))
    began = time.monotonic()
    try:
        if build and (built := sorted(processes & _built(engine))):
            engine.run("build", "--quiet", *built)
            _print_progress("images", "built", began)
        others = ["--ignore-buildable"] if build else []
        engine.run("pull", "--quiet", "--policy", "missing", *others, "--include-deps", *only)
        _start_postgres(engine)
        create_databases(engine)
        _print_progress("postgres", "ready", began)
        scales = [part for argument in scale for part in ("--scale", argument)]
        _start(engine, [*scales, *only], services=processes, seconds=seconds, began=began)
    except BaseException:
        if not before:
            engine.run("down")
        raise
    return _running(engine) != before


def _reject_too_many_connections(engine: Engine, scale: Sequence[str]) -> None:
    """Raise ComposeError if all replicas together can open more connections than PostgreSQL allows."""
    services = engine.services()
    limits = [
        _number("POSTGRES_MAX_CONNECTIONS", word.partition("=")[2])
        for word in services.get("postgres", {}).get("command") or []
        if word.startswith("--max_connections=")
    ]
    copies = {
        name: int(count) for name, _, count in (argument.partition("=") for argument in scale) if count.isdecimal()
    }
    for limit in limits:
        environments = [(name, _environment(service)) for name, service in services.items()]
        connections = budget(environments, available=limit - SUPERUSER_RESERVED, copies=copies)
        if problem := connections.problem():
            raise ComposeError(f"{problem} Here POSTGRES_MAX_CONNECTIONS is max_connections.")


def _pooler_size(engine: Engine) -> int:
    size = _environment(engine.services().get(POOLER, {})).get("PGBOUNCER_POOL_SIZE")
    return _number("PGBOUNCER_POOL_SIZE", size) if size else PGBOUNCER_POOL_SIZE


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and int(value)):
        raise ComposeError(f"{name}={value}: expected a whole number from 1")
    return int(value)


def _environment(service: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in (service.get("environment") or {}).items() if value is not None}


def create_databases(engine: Engine) -> None:
    """Create missing roles and databases, and set the passwords to those in the secrets."""
    engine.run("exec", "-T", "postgres", "sh", "/docker-entrypoint-initdb.d/databases.sh")


def migrate(engine: Engine) -> None:
    """Migrate the databases of a running project to the newest version in the checkout."""
    engine.check()
    if not any(container.service == "postgres" and container.is_ready for container in engine.containers()):
        raise ComposeError("the databases are not running: `make up` starts them, and migrates them too")
    engine.run("build", "--quiet")
    create_databases(engine)
    for migration in MIGRATIONS:
        engine.run("run", "--rm", "--no-deps", "-T", migration)


def down(engine: Engine, *, volumes: bool = False) -> bool:
    """Stop and remove the containers, dependents first, and with `volumes` the data; return whether there were any."""
    engine.check()
    existed = bool(engine.containers())
    engine.run(
        "--profile", "load", "--profile", POOLER, "down", "--remove-orphans", *(["--volumes"] if volumes else [])
    )
    return existed


def addresses(project: Project) -> list[tuple[str, str]]:
    """Return the pages and APIs to open next, each with its address."""
    return [
        ("API", f"http://localhost:{project.port('gateway')}/v2/docs"),
        ("traces", f"http://localhost:{project.port('jaeger')}"),
        ("dashboards", f"http://localhost:{project.port('grafana')}"),
        ("metrics", f"http://localhost:{project.port('prometheus')}"),
        ("mailbox", f"http://localhost:{project.port('mailpit')}"),
        ("logs", f"http://localhost:{project.port('loki')} (Loki's API; to read: dashboards, Explore)"),
    ]


def _start_postgres(engine: Engine) -> None:
    try:
        engine.run("up", "--detach", "--no-build", "--wait", "postgres")
    except ComposeError:
        for container in engine.containers():
            if container.service == "postgres" and not container.is_ready:
                raise ComposeError(_failure(engine, container, container.failure or "it is not ready")) from None
        raise


def _running(engine: Engine) -> dict[str, str]:
    """Return the services of the running containers by container id."""
    return {container.id: container.service for container in engine.containers() if container.state == "running"}


def _check_ports(project: Project, processes: Collection[str]) -> None:
    ports = [(port, project.port(name)) for name, port in PUBLISHED.items() if port.process in processes]
    if lines := list_conflicts(ports):
        raise ComposeError("\n".join(lines))


def _with_dependencies(engine: Engine, only: Sequence[str]) -> set[str]:
    services = engine.services()
    pending, chosen = list(only) or list(services), set[str]()
    while pending:
        name = pending.pop()
        if name not in services:
            raise ComposeError(f"unknown service {name!r}: expected one of {', '.join(services)}")
        if name not in chosen:
            chosen.add(name)
            # An optional dependency is missing if its profile is off. Some versions of Compose list it nevertheless.
            pending.extend(other for other in services[name].get("depends_on", {}) if other in services)
    return chosen


def _built(engine: Engine) -> set[str]:
    return {name for name, service in engine.services().items() if "build" in service}


def _start(
    engine: Engine, arguments: Sequence[str], *, services: Collection[str], seconds: float, began: float
) -> None:
    """Run `up` and watch the containers of `services` until all are ready, one has failed, or the time is over.

    Containers that ran before are ignored until `up` has ended, because it may replace them. Failures are handled only
    after `up` has ended too: an interrupted `up` would leave some containers replaced and some not.
    """
    before = _running(engine)
    one_shots = engine.one_shots()
    starting = engine.start("up", "--detach", "--no-build", *arguments)
    reported = {"postgres"}
    deadline = time.monotonic() + seconds
    try:
        while True:
            ended = starting.poll()
            containers = [
                container
                for container in engine.containers()
                if container.service in services and (ended is not None or container.id not in before)
            ]
            ready = [
                container
                for container in containers
                if (container.is_done if container.service in one_shots else container.is_ready)
            ]
            for container in ready:
                if container.service not in reported:
                    reported.add(container.service)
                    _print_progress(container.service, "done" if container.is_done else "ready", began)
            if ended is not None:
                _raise_for_failures(
                    engine, [container for container in containers if container.id not in before], starting
                )
            if ended == 0 and len(ready) == len(containers):
                return
            if time.monotonic() > deadline:
                late = next((container for container in containers if container not in ready), None)
                reason = f"it is not ready after {seconds:g} s"
                raise ComposeError(_failure(engine, late, reason) if late else f"docker compose up: {reason}")
            time.sleep(POLL_INTERVAL_S)
    finally:
        if starting.poll() is None:
            starting.terminate()
        starting.communicate()


def _raise_for_failures(engine: Engine, started: Sequence[Container], up: "subprocess.Popen[str]") -> None:
    if failed := next((container for container in started if container.failure), None):
        raise ComposeError(_failure(engine, failed, str(failed.failure)))
    if up.returncode:
        message = up.stderr.read() if up.stderr else ""
        raise ComposeError(f"docker compose up failed:\n{message}")


def _failure(engine: Engine, container: Container, reason: str) -> str:
    output = engine.run("logs", "--no-color", "--no-log-prefix", "--tail", str(LAST_LINES), container.service)
    lines = [line.removeprefix(_ERASE) for line in output.splitlines()]
    return "\n".join([f"{container.service} did not start: {reason}. Its last lines:", *map(brief, lines)])


def _print_progress(what: str, state: str, began: float) -> None:
    print(f"  {what:<21} {state:<7} {time.monotonic() - began:4.1f} s", flush=True)
