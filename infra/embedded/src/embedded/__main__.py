"""`python -m embedded up|down|status|logs|…`: the command line, which `make` calls.

Exit codes: 0 done; 1 with one clear line on standard error; 3 from `status` when something is not running.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence

from embedded import lifecycle, logs, operations
from embedded.environment import read_dotenv
from embedded.errors import EmbeddedError
from embedded.processes import RELOAD, RELOADABLE
from embedded.stack import Stack
from shared.text import terminal_text

NOT_RUNNING = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code."""
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
    except BrokenPipeError:  # `… | head` has seen enough
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description="Hopline on this machine, without Docker.")
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="start everything and wait until it is ready")
    up.add_argument("--only", type=_names, default=[], metavar="A,B", help="these processes and all that they need")
    up.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="for each phase (default 120)")
    up.set_defaults(run=_up)

    dev = commands.add_parser(
        "dev", help="start everything, restart services when their source changes, show their logs"
    )
    dev.add_argument("process", nargs="*", help="restart these only (default: all services and workers)")
    dev.add_argument("--no-follow", dest="follow", action="store_false", help="end once everything is ready")
    dev.set_defaults(run=_dev)

    commands.add_parser("down", help="stop everything, keep the data").set_defaults(run=_down)
    commands.add_parser("clean", help="stop everything, delete the data").set_defaults(run=_clean)
    commands.add_parser("migrate", help="migrate the databases of a running stack").set_defaults(run=_migrate)

    status = commands.add_parser("status", help="processes, databases, streams, jobs")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)

    commands.add_parser("jobs", help="jobs by state and kind, and the oldest not done").set_defaults(run=_jobs)
    commands.add_parser("dead-letters", help="jobs and events that were given up").set_defaults(run=_dead_letters)
    replay = commands.add_parser("replay", help="have a dead job or event tried again")
    replay.add_argument("id", help="as dead-letters lists it")
    replay.set_defaults(run=_replay)

    tail = commands.add_parser("logs", help="the last lines of the logs, then new ones as they come")
    tail.add_argument("process", nargs="*", help="of these processes only")
    tail.add_argument("--lines", "-n", type=int, default=200, metavar="N", help="how many to begin with (default 200)")
    tail.add_argument("--no-follow", dest="follow", action="store_false", help="end after that")
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
    print(f"a change of source restarts: {', '.join(names)} (Ctrl-C ends this view; make down stops everything)")
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
    print(f"removed {stack.home}" if removed else "there is nothing to remove")
    return 0


def _migrate(stack: Stack, _options: argparse.Namespace) -> int:
    with stack.changing():
        asyncio.run(lifecycle.migrate(stack, os.environ))
    print("every database is at its newest version")
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
    return operations.run(stack, os.environ, operations.jobs())


def _dead_letters(stack: Stack, _options: argparse.Namespace) -> int:
    return operations.run(stack, os.environ, operations.dead_letters())


def _replay(stack: Stack, options: argparse.Namespace) -> int:
    return operations.run(stack, os.environ, [operations.replay(options.id)])


def _logs(stack: Stack, options: argparse.Namespace) -> int:
    with contextlib.suppress(KeyboardInterrupt):
        logs.show(stack, options.process, lines=options.lines, follow=options.follow)
    return 0


def _names(raw: str) -> list[str]:
    return [name for name in raw.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
