"""`python -m chaos [--row NAME…] [--seed SEED] [--seconds S]`: inject faults into a separate stack, print a table.

If a row fails, `build/chaos/<seed>/` has the outcomes of all rows and the logs of the stack.

Exit status: 0 if all invariants hold, 1 if one is violated, 2 for an unknown row or a stack that another command
started.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from math import inf
from pathlib import Path

from rich.console import Console

from chaos import report
from chaos.matrix import CALM, MATRIX, ROWS, Row
from chaos.trial import Effort, Result, Trial
from testkit.stack import running_stack

SETTINGS = {"WEB_CONCURRENCY": "2", "OBSERVATORY_MAX_MAILS": "100000"}
"""Each service has two processes, so that one responds while the other is killed. The mailbox stores all emails."""

FAILED_RUNS = Path("build/chaos")
"""Folder of failed runs, with one folder per seed."""

MAX_HEALING_S = 30.0
"""Time limit from the end of fault and load until everything is complete."""

MAX_SLOWDOWN = 3.0
"""On a slow machine, the time limit is this multiple of the time that the calm row needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named rows, or all; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument(
        "--row", action="append", default=[], metavar="NAME", help=f"one of {', '.join(ROWS)} (default: all)"
    )
    parser.add_argument("--seed", default=secrets.token_hex(4), help="repeats the random choices of an earlier run")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="minimum duration of the load of each row (default 10)"
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.row if name not in ROWS]:
        print(f"Unknown row {unknown[0]!r}. Expected one of: {', '.join(ROWS)}.", file=sys.stderr)
        return 2
    if "HOPLINE_GATEWAY_URL" in os.environ:
        print("chaos starts a separate stack, because it kills processes: unset HOPLINE_GATEWAY_URL", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM stops the stack too
    rows = [ROWS[name] for name in options.row] or list(MATRIX)
    try:
        return _run_rows(rows, seed=options.seed, effort=Effort(seconds=options.seconds))
    except KeyboardInterrupt:
        return 130


def _run_rows(rows: Sequence[Row], *, seed: str, effort: Effort) -> int:
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(f"SEED={seed}", highlight=False)
    to_run = [row for row in rows if row.nemesis]
    to_run[:0] = [CALM] if to_run else []  # the reference for recovery times on this machine
    results = list[Result]()
    while to_run[len(results) :]:  # a failed row may leave a broken stack, so the next row gets a new stack
        with (
            tempfile.TemporaryDirectory(prefix="hopline-chaos-") as folder,
            running_stack(Path(folder) / "stack", settings=SETTINGS, tap=False) as stack,
        ):
            trial = Trial(stack=stack, environment=os.environ, effort=effort)
            try:
                asyncio.run(
                    _run_until_broken(trial, to_run[len(results) :], seed=seed, results=results, console=console)
                )
            except BaseException:
                report.save(FAILED_RUNS / seed, results, logs=stack.home / "logs", row=to_run[len(results)])
                raise
            if results[-1].is_broken:
                report.save(FAILED_RUNS / seed, results, logs=stack.home / "logs", row=results[-1].row)
    report.print_results(results, [row for row in rows if not row.nemesis], console)
    return int(any(result.is_broken for result in results))


async def _run_until_broken(
    trial: Trial, rows: Sequence[Row], *, seed: str, results: list[Result], console: Console
) -> None:
    """Run one row after another, and append each result to `results`. Stop after a row with a violation."""
    for row in rows:
        max_healing_s = max(MAX_HEALING_S, MAX_SLOWDOWN * results[0].healed_s) if results else inf
        result = await trial.run(row, seed=seed, max_healing_s=max_healing_s)
        results.append(result)
        word = "broken" if result.is_broken else "held"
        console.print(f"  {row.name:>6} {row.fault}: {word}, quiet after {result.healed_s:.1f} s", highlight=False)
        if result.is_broken:
            break


if __name__ == "__main__":
    sys.exit(main())
