"""`python -m bench [NAME…]`: run benchmarks, print the figures, and save them in `build/bench/`.

Exit status: 0 if all benchmarks ran, whether or not they reached their targets; 2 for an unknown benchmark.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import report
from bench.catalog import BENCHMARKS
from bench.figures import GLANCE, Benchmark, Effort
from bench.stage import ROOT, Stage, temporary_folder

RESULTS = ROOT / "build" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, or all; return the exit status."""
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(known)} (default: all)")
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="measurements of each alternative (default 5)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each measurement (default 2)")
    parser.add_argument("--glance", action="store_true", help="only check that it works; the figures are meaningless")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="folder for the figures")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.name if name not in known]:
        print(f"Unknown benchmark {unknown[0]!r}. Expected one of: {', '.join(known)}.", file=sys.stderr)
        return 2
    effort = GLANCE if options.glance else Effort(rounds=options.rounds, seconds=options.seconds)
    chosen = [known[name] for name in options.name or known]
    asyncio.run(_measure(chosen, effort, options.results))
    return 0


async def _measure(benchmarks: Sequence[Benchmark], effort: Effort, results: Path) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=140)
    facts = report.machine_facts()
    for name, value in facts.items():
        console.print(f"{name:<7} {value}", highlight=False)
    for benchmark in benchmarks:
        with temporary_folder() as folder:
            async with Stage(folder=folder) as stage:
                figures = await benchmark.run(stage, effort)
        console.print()
        report.show(benchmark, figures, console)
        report.save(benchmark, figures, facts, results)
    console.print(f"\nsaved in {results}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
