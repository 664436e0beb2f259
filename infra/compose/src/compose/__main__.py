"""`python -m compose up|down|status|logs|…`: the command line that `make` calls if Docker is available.

Exit codes as in the embedded mode: 0 done; 1 with a message on standard error; 3 from `status` if something that should
run does not.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence

from compose import lifecycle
from compose.engine import Engine
from compose.errors import ComposeError
from compose.project import Project, from_environment
from compose.service_commands import run
from embedded import service_commands
from embedded.environment import read_dotenv
from embedded.errors import EmbeddedError
from shared.validation.text import terminal_text

NOT_RUNNING = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    read_dotenv()
    try:
        project = from_environment()
        engine = Engine(project.environment(os.environ))
        return int(options.run(project, engine, options))
    except (ComposeError, EmbeddedError) as error:
        print(terminal_text(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `… | head` closed the pipe
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compose", description="Hopline on a Docker engine.")
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="build and start everything, and wait until it is ready")
    up.add_argument("--only", type=_names, default=[], metavar="A,B", help="only these services and their dependencies")
    up.add_argument("--scale", action="append", default=[], metavar="SERVICE=N", help="number of replicas of a service")
    up.add_argument("--no-build", dest="build", action="store_false", help="use existing images, or pull them")
    up.add_argument("--timeout", type=float, default=240, metavar="SECONDS", help="limit of the start (default 240)")
    up.set_defaults(run=_up)

    commands.add_parser("down", help="stop everything and keep the data").set_defaults(run=_down)
    commands.add_parser("clean", help="stop everything and delete the data").set_defaults(run=_clean)
    commands.add_parser("migrate", help="migrate the databases of a running stack").set_defaults(run=_migrate)
    commands.add_parser("secrets", help="generate missing secrets").set_defaults(run=_secrets)

    status = commands.add_parser("status", help="show containers, databases, streams, jobs and memory limits")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    commands.add_parser(
        "jobs", help="count jobs by state and type, and list the pending ones by due time"
    ).set_defaults(run=_jobs)
    commands.add_parser("dead-letters", help="list dead jobs and events").set_defaults(run=_dead_letters)
    replay = commands.add_parser("replay", help="retry a dead job or event")
    replay.add_argument("id", help="id from dead-letters")
    replay.set_defaults(run=_replay)

    logs = commands.add_parser("logs", help="show the last lines of the logs, and follow them")
    logs.add_argument("service", nargs="*", help="only these services")
    logs.set_defaults(run=_logs)

    images = commands.add_parser("images", help="build the images and show their sizes")
    images.add_argument("service", nargs="*", help="only these services")
    images.set_defaults(run=_images)
    return parser


def _up(project: Project, engine: Engine, options: argparse.Namespace) -> int:
    began = time.monotonic()
    with project.stack.changing():
        started = lifecycle.up(
            project,
            engine,
            only=options.only,
            scale=options.scale,
            build=options.build,
            seconds=options.timeout,
        )
    print(f"Hopline is up after {time.monotonic() - began:.1f} s" if started else "Hopline is already up")
    for what, where in lifecycle.addresses(project):
        print(f"  {what:<14} {where}")
    print("  next           make demo · make status · make logs S=orders · make down")
    return 0


def _down(project: Project, engine: Engine, _options: argparse.Namespace) -> int:
    with project.stack.changing():
        stopped = lifecycle.down(engine)
    print("Hopline is down; its data is kept" if stopped else "Hopline is not running")
    return 0


def _clean(project: Project, engine: Engine, _options: argparse.Namespace) -> int:
    with project.stack.changing():
        lifecycle.down(engine, volumes=True)
        shutil.rmtree(project.secrets, ignore_errors=True)
    print(f"removed the containers, volumes and secrets of {project.name}")
    return 0


def _migrate(project: Project, engine: Engine, _options: argparse.Namespace) -> int:
    with project.stack.changing():
        lifecycle.migrate(engine)
    print("all databases are at their newest version")
    return 0


def _secrets(project: Project, _engine: Engine, _options: argparse.Namespace) -> int:
    project.write_secrets()
    print(f"the secrets are in {project.secrets}")
    return 0


def _status(_project: Project, engine: Engine, options: argparse.Namespace) -> int:
    from compose.status import MAX_LIMIT_BYTES, MEBIBYTE, collect, limits_of

    found = collect(engine)
    if options.json:
        print(json.dumps({**found.status.as_dict(), "limit_bytes": found.limit_bytes}))
    else:
        from rich.console import Console

        from embedded.report import show

        show(found.status, Console() if sys.stdout.isatty() else Console(width=140))
        declared = limits_of(engine.services()) // MEBIBYTE
        running = f"; {found.limit_bytes // MEBIBYTE} MiB of running containers" if found.limit_bytes else ""
        print(f"memory limits: {declared} MiB in total, at most {MAX_LIMIT_BYTES // MEBIBYTE}{running}")
    return 0 if found.status.healthy else NOT_RUNNING


def _jobs(_project: Project, engine: Engine, _options: argparse.Namespace) -> int:
    return run(engine, service_commands.jobs())


def _dead_letters(_project: Project, engine: Engine, _options: argparse.Namespace) -> int:
    return run(engine, service_commands.dead_letters())


def _replay(_project: Project, engine: Engine, options: argparse.Namespace) -> int:
    return run(engine, [service_commands.replay(options.id)])


def _logs(_project: Project, engine: Engine, options: argparse.Namespace) -> int:
    engine.check()
    with contextlib.suppress(KeyboardInterrupt):
        return engine.show("logs", "--follow", "--tail", "200", *options.service)
    return 0


def _images(_project: Project, engine: Engine, options: argparse.Namespace) -> int:
    from compose.images import build

    for image in build(engine, options.service):
        limit = image.max_mebibytes
        note = f"  exceeds {limit} MiB" if image.mebibytes > limit else f"  of at most {limit}"
        print(f"  {image.name:<32} {image.mebibytes:6.0f} MiB{note}")
    return 0


def _names(raw: str) -> list[str]:
    return [name for name in raw.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
