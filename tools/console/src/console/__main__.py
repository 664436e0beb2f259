"""`python -m console demo`, `room SKU`, `trace ID`, `walk NAME`, `fault` and `top`."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from console.crash import CRASH, CRASH_DESCRIPTION, run_crash_scenario
from console.demo import Demo
from console.drawing import replace_unprintable_in_lines
from console.failures import FailedError
from console.faults import KINDS, NONE, Admin, Switches
from console.narration import Narrator
from console.rooms import RoomDemo
from console.stack import Stack
from console.top import show_top
from console.trace import print_trace
from console.walks import WALKS, Walker

_PIPED_WIDTH = 120  # columns


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line with the epilog as an example, because the usage would not mention `make`."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with 2."""
        self.exit(2, f"✗ {message.removeprefix('argument ').lstrip('-')}; for example: {self.epilog}\n")


def main() -> None:
    """Run the command. If it fails, print one line and exit with 1."""
    arguments = _parse_arguments()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # a terminal may not support all characters
    try:
        stack = Stack.from_environment(os.environ)
        asyncio.run(_COMMANDS[arguments.command](stack, arguments))
    except FailedError as failure:
        message = replace_unprintable_in_lines(str(failure))
        _create_console(stderr=True).print(f"✗ {message}", style="bold red", markup=False, soft_wrap=True)
        if arguments.command == "demo" and arguments.json:
            print(json.dumps({"error": str(failure)}))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


class _Console(Console):
    """Exits with 0 if the reader closes the pipe, as in `make trace ID=… | head`."""

    def on_broken_pipe(self) -> None:
        """Discard the remaining output and exit with 0; rich would exit with 1."""
        try:
            super().on_broken_pipe()
        except SystemExit:
            sys.exit(0)


async def _run_demo(stack: Stack, arguments: argparse.Namespace) -> None:
    """Print the steps to stdout, or to stderr if stdout is for the summary."""
    downloads = Path(os.environ.get("HOPLINE_HOME") or ".hopline") / "downloads"
    narrator = Narrator(_create_console(stderr=arguments.json))
    summary = await Demo(stack=stack, narrator=narrator, downloads=downloads).run()
    if arguments.json:
        print(json.dumps(summary))


async def _run_room(stack: Stack, arguments: argparse.Namespace) -> None:
    await RoomDemo(stack=stack, narrator=Narrator(_create_console(stderr=False))).run(arguments.sku)


async def _run_trace(stack: Stack, arguments: argparse.Namespace) -> None:
    await print_trace(arguments.id, stack=stack, console=_create_console(stderr=False))


async def _run_walk(stack: Stack, arguments: argparse.Namespace) -> None:
    console = _create_console(stderr=False)
    if arguments.walk == CRASH:
        await run_crash_scenario(Narrator(console))
        return
    walker = Walker(stack=stack, admin=Admin.from_environment(os.environ), narrator=Narrator(console))
    trace_id = await walker.run(WALKS[arguments.walk])
    console.print()
    await print_trace(trace_id, stack=stack, console=console)


async def _run_fault(stack: Stack, arguments: argparse.Namespace) -> None:
    switches = Switches(
        stack=stack, admin=Admin.from_environment(os.environ), narrator=Narrator(_create_console(stderr=False))
    )
    names = ("source", "target", "value", "times", "at", "for_seconds")
    fields = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    await switches.run(kind=arguments.kind, fields=fields)


async def _run_top(stack: Stack, _arguments: argparse.Namespace) -> None:
    await show_top(stack, _create_console(stderr=False))


_COMMANDS = {
    "demo": _run_demo,
    "room": _run_room,
    "trace": _run_trace,
    "walk": _run_walk,
    "fault": _run_fault,
    "top": _run_top,
}


def _create_console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPED_WIDTH
    return _Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def _parse_arguments() -> argparse.Namespace:
    parser = _Parser(prog="python -m console", description=__doc__, epilog="make demo")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", epilog="make demo", help="place an order and follow it through every service")
    demo.add_argument("--json", action="store_true", help="print a summary as JSON; the steps go to stderr")
    room_help = "join a product's room on two sockets, and watch its stock and viewers change"
    room = commands.add_parser("room", epilog="make room SKU=MUG-ENAMEL-BLUE", help=room_help)
    room.add_argument("sku", metavar="SKU", help="the product")
    trace = commands.add_parser("trace", epilog="make trace ID=…", help="print a trace as a tree, with its log records")
    trace.add_argument("id", metavar="ID", help="the trace id, 32 hexadecimal digits")
    walk = commands.add_parser("walk", epilog="make walk W=order", help="produce one kind of trace and print it")
    descriptions = {name: walk.description for name, walk in WALKS.items()} | {CRASH: CRASH_DESCRIPTION}
    walk.add_argument(
        "walk", choices=descriptions, help="; ".join(f"{name}: {text}" for name, text in descriptions.items())
    )
    example = "make fault TARGET=orders KIND=slow VALUE=2000 FOR=60"
    fault_help = "inject a fault into the calls between two services, or list the active faults"
    fault = commands.add_parser("fault", epilog=example, help=fault_help)
    fault.add_argument("--target", help="the called service: users, orders or notifications")
    fault.add_argument("--kind", choices=[*KINDS, NONE], help="the fault; none removes it")
    fault.add_argument("--source", help="the caller: gateway (default), orders, notifications or workers")
    fault.add_argument("--value", type=int, help="milliseconds for slow, percent of the calls for the others")
    fault.add_argument("--times", type=int, help="number of affected calls per process (default: all)")
    fault.add_argument("--at", help="crash point of the target: consumer.after_commit, job.after_effect, …")
    fault.add_argument("--for-seconds", type=int, help="duration in seconds (default 60)")
    commands.add_parser("top", epilog="make top", help="print the metrics, refreshed every 2 s until q or Ctrl-C")
    return parser.parse_args()


if __name__ == "__main__":
    main()
