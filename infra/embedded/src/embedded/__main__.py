"""`python -m embedded up|down|status|logs|…`: the command line that `make` calls.

Exit codes: 0 done; 1 with one line on standard error; 3 from `status` if something is not running.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence

from embedded import lifecycle, logs, service_commands
from embedded.environment import read_dotenv
from embedded.errors import EmbeddedError
from embedded.processes import RELOAD, RELOADABLE
from embedded.stack import Stack
from shared.validation.text import terminal_text

NOT_RUNNING = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    read_dotenv()
    try:
        stack = Stack.from_environment(os.environ)
        return int(options.run(stack, options))
    except EmbeddedError as error:
        print(terminal_text(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `… | head` closed the pipe
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description="Hopline on this machine, without Docker.")
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="start everything and wait until it is ready")
    up.add_argument(
        "--only", type=_names, default=[], metavar="A,B", help="only these processes and their dependencies"
    )
    up.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="for each phase (default 120)")
    up.set_defaults(run=_up)

    dev = commands.add_parser(
        "dev", help="start everything, restart services when their source changes, and show their logs"
    )
    dev.add_argument("process", nargs="*", help="restart only these (default: all services and workers)")
    dev.add_argument("--no-follow", dest="follow", action="store_false", help="exit when everything is ready")
    dev.set_defaults(run=_dev)

    commands.add_parser("down", help="stop everything and keep the data").set_defaults(run=_down)
    commands.add_parser("clean", help="stop everything and delete the data").set_defaults(run=_clean)
    commands.add_parser("migrate", help="migrate the databases of a running stack").set_defaults(run=_migrate)

    status = commands.add_parser("status", help="show processes, databases, streams and jobs")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    commands.add_parser(
        "jobs", help="count jobs by state and type, and list the pending ones by due time"
    ).set_defaults(run=_jobs)
    commands.add_parser("dead-letters", help="list dead jobs and events").set_defaults(run=_dead_letters)
    replay = commands.add_parser("replay", help="retry a dead job or event")
    replay.add_argument("id", help="id from dead-letters")
    replay.set_defaults(run=_replay)

    tail = commands.add_parser("logs", help="show the last lines of the logs, and follow them")
    tail.add_argument("process", nargs="*", help="only these processes")
    tail.add_argument("--lines", "-n", type=int, default=200, metavar="N", help="number of last lines (default 200)")
    tail.add_argument("--no-follow", dest="follow", action="store_false", help="exit after the last lines")
    tail.set_defaults(run=_logs)
    return parser


def _up(stack: Stack, options: argparse.Namespace) -> int:
    began = time.monotonic()
    with stack.changing():
        started = asyncio.run(lifecycle.up(stack, os.environ, only=options.only, seconds=options.timeout))
    print(f"Hopline is up after {time.monotonic() - began:.1f} s" if started else "Hopline is already up")
    for what, where in lifecycle.addresses(stack):
        print(f"  {what:<14} {where}")
    print("  next           make demo · make status · make logs S=orders · make down")
    return 0


def _dev(stack: Stack, options: argparse.Namespace) -> int:
    names = options.process or list(RELOADABLE)
    os.environ[RELOAD] = ",".join(names)
    with stack.changing():
        if lifecycle.is_configured_otherwise(stack, os.environ):
            lifecycle.down(stack)
        asyncio.run(lifecycle.up(stack, os.environ, only=[], seconds=120))
    print(f"source changes restart: {', '.join(names)} (Ctrl-C ends this view; make down stops the stack)")
    with contextlib.suppress(KeyboardInterrupt):
        logs.show(stack, names, lines=0, follow=options.follow)
    return 0


def _down(stack: Stack, _options: argparse.Namespace) -> int:
    with stack.changing():
        stopped = lifecycle.down(stack)
    print("Hopline is down; its data is kept" if stopped else "Hopline is not running")
    return 0


def _clean(stack: Stack, _options: argparse.Namespace) -> int:
    with stack.changing():
        lifecycle.down(stack)
        removed = stack.remove()
    print(f"removed {stack.home}" if removed else "nothing to remove")
    return 0


def _migrate(stack: Stack, _options: argparse.Namespace) -> int:
    with stack.changing():
        asyncio.run(lifecycle.migrate(stack, os.environ))
    print("all databases are at their newest version")
    return 0


def _status(stack: Stack, options: argparse.Namespace) -> int:
    from embedded.status import collect

    status = asyncio.run(collect(stack, os.environ))
    if options.json:
        print(json.dumps(status.as_dict()))
    else:
        from rich.console import Console

        from embedded.report import show

        show(status, Console() if sys.stdout.isatty() else Console(width=140))
    return 0 if status.healthy else NOT_RUNNING


def _jobs(stack: Stack, _options: argparse.Namespace) -> int:
    return service_commands.run(stack, os.environ, service_commands.jobs())


def _dead_letters(stack: Stack, _options: argparse.Namespace) -> int:
    return service_commands.run(stack, os.environ, service_commands.dead_letters())


def _replay(stack: Stack, options: argparse.Namespace) -> int:
    return service_commands.run(stack, os.environ, [service_commands.replay(options.id)])


def _logs(stack: Stack, options: argparse.Namespace) -> int:
    with contextlib.suppress(KeyboardInterrupt):
        logs.show(stack, options.process, lines=options.lines, follow=options.follow)
    return 0


def _names(raw: str) -> list[str]:
    return [name for name in raw.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
