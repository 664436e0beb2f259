"""Bringing the project up and down: build, fetch, stores, databases, everything; each step in a readable line."""

import subprocess
import time
from collections.abc import Collection, Sequence

from compose.engine import Container, Engine
from compose.errors import ComposeError
from compose.project import DATABASES, PUBLISHED, Project
from embedded.logs import brief
from embedded.ports import taken

BETWEEN_LOOKS_S = 0.5
LAST_LINES = 15
_ERASE = "\x1b[2K"
"""Compose erases its progress before a line even where no terminal shows it."""
MIGRATIONS = tuple(f"migrate-{name}" for name in DATABASES)


def up(
    project: Project, engine: Engine, *, only: Sequence[str], scale: Sequence[str], build: bool, seconds: float
) -> bool:
    """Start what is not running and wait until it is ready; say whether there was anything to start.

    Without `build`, our images are those that are there already or that a registry has (IMAGE_PREFIX, VERSION).

    Raises ComposeError; a stack of which nothing ran before is then taken down again.
    """
    engine.check()
    project.write_secrets()
    before = _running(engine)
    wanted = _with_dependencies(engine, only)
    _refuse_taken_ports(project, wanted - set(before.values()))
    began = time.monotonic()
    try:
        if build:
            engine.run("build", "--quiet", *(sorted(wanted & _built(engine)) if only else []))
            _progress("images", "built", began)
        others = ["--ignore-buildable"] if build else []
        engine.run("pull", "--quiet", "--policy", "missing", *others, "--include-deps", *only)
        _start_postgres(engine)
        create_databases(engine)
        _progress("postgres", "ready", began)
        scales = [part for one in scale for part in ("--scale", one)]
        _start(engine, [*scales, *only], seconds=seconds, began=began)
    except BaseException:
        if not before:
            engine.run("down")
        raise
    return _running(engine) != before


def create_databases(engine: Engine) -> None:
    """Create the roles and databases that are missing, and set the passwords to those in the secrets."""
    engine.run("exec", "-T", "postgres", "sh", "/docker-entrypoint-initdb.d/databases.sh")


def migrate(engine: Engine) -> None:
    """Bring the databases of a running project to the newest version in the checkout."""
    engine.check()
    if not any(container.service == "postgres" and container.is_ready for container in engine.containers()):
        raise ComposeError("the databases are not running: `make up` starts them, and migrates them too")
    engine.run("build", "--quiet")
    create_databases(engine)
    for migration in MIGRATIONS:
        engine.run("run", "--rm", "--no-deps", "-T", migration)


def down(engine: Engine, *, volumes: bool = False) -> bool:
    """Stop and remove the containers, dependents first; `volumes` also the data. Say whether there was anything."""
    engine.check()
    there = bool(engine.containers())
    engine.run("--profile", "load", "down", "--remove-orphans", *(["--volumes"] if volumes else []))
    return there


def addresses(project: Project) -> list[tuple[str, str]]:
    """Give what a person opens next, with its address."""
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
                raise ComposeError(_failure(engine, container, container.trouble or "it is not ready")) from None
        raise


def _running(engine: Engine) -> dict[str, str]:
    """Give the service of each running container by the container's id."""
    return {container.id: container.service for container in engine.containers() if container.state == "running"}


def _refuse_taken_ports(project: Project, wanted: Collection[str]) -> None:
    ports = [(port, project.port(name)) for name, port in PUBLISHED.items() if port.process in wanted]
    if lines := taken(ports):
        raise ComposeError("\n".join(lines))


def _with_dependencies(engine: Engine, only: Sequence[str]) -> set[str]:
    services = engine.services()
    pending, chosen = list(only) or list(services), set[str]()
    while pending:
        name = pending.pop()
        if name not in services:
            raise ComposeError(f"no service {name!r}: there are {', '.join(services)}")
        if name not in chosen:
            chosen.add(name)
            pending.extend(services[name].get("depends_on", {}))
    return chosen


def _built(engine: Engine) -> set[str]:
    return {name for name, service in engine.services().items() if "build" in service}


def _start(engine: Engine, arguments: Sequence[str], *, seconds: float, began: float) -> None:
    """Run `up` and watch the containers until all are ready, one has failed, or the time is over.

    Until `up` has ended, those that ran before tell nothing: it may be about to replace them. A failure is not acted
    upon before either: interrupted, `up` would leave containers half replaced; it ends by itself where one fails.
    """
    before = _running(engine)
    one_shots = {name for name, service in engine.services().items() if service.get("restart") == "no"}
    starting = engine.start("up", "--detach", "--no-build", *arguments)
    reported = {"postgres"}
    deadline = time.monotonic() + seconds
    try:
        while True:
            ended = starting.poll()
            containers = [one for one in engine.containers() if ended is not None or one.id not in before]
            well = [one for one in containers if (one.is_done if one.service in one_shots else one.is_ready)]
            for one in well:
                if one.service not in reported:
                    reported.add(one.service)
                    _progress(one.service, "done" if one.is_done else "ready", began)
            if ended is not None:
                _raise_for_failures(engine, [one for one in containers if one.id not in before], starting)
            if ended == 0 and len(well) == len(containers):
                return
            if time.monotonic() > deadline:
                late = next((one for one in containers if one not in well), None)
                reason = f"it is not ready after {seconds:g} s"
                raise ComposeError(_failure(engine, late, reason) if late else f"docker compose up: {reason}")
            time.sleep(BETWEEN_LOOKS_S)
    finally:
        if starting.poll() is None:
            starting.terminate()
        starting.communicate()


def _raise_for_failures(engine: Engine, started: Sequence[Container], up: "subprocess.Popen[str]") -> None:
    if failed := next((one for one in started if one.trouble), None):
        raise ComposeError(_failure(engine, failed, str(failed.trouble)))
    if up.returncode:
        said = up.stderr.read() if up.stderr else ""
        raise ComposeError(f"docker compose up failed:\n{said}")


def _failure(engine: Engine, container: Container, reason: str) -> str:
    said = engine.run("logs", "--no-color", "--no-log-prefix", "--tail", str(LAST_LINES), container.service)
    lines = [line.removeprefix(_ERASE) for line in said.splitlines()]
    return "\n".join([f"{container.service} did not start: {reason}. Its last lines:", *map(brief, lines)])


def _progress(what: str, state: str, began: float) -> None:
    print(f"  {what:<21} {state:<7} {time.monotonic() - began:4.1f} s", flush=True)
