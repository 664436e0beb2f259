"""Print and save the results."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chaos.history import Outcome
from chaos.matrix import Row
from chaos.trial import Result
from shared.validation.text import terminal_line

_HELD, _BROKEN = "[green]✓[/]", "[red]✗[/]"
_MAX_VIOLATIONS = 5
"""Maximum number of printed violations per invariant."""


def print_results(results: Sequence[Result], covered_elsewhere: Sequence[Row], console: Console) -> None:
    """Print one line for each fault, then the violations, then the tests that cover the other faults."""
    if results:
        console.print(_table(results))
    for result in results:
        for name, violations in result.outcome.items():
            for violation in violations[:_MAX_VIOLATIONS]:
                text = escape(terminal_line(violation))
                console.print(f"[red]✗ {result.row.name} {name}[/] {text}", highlight=False, emoji=False)
            if len(violations) > _MAX_VIOLATIONS:
                console.print(f"  and {len(violations) - _MAX_VIOLATIONS} more", highlight=False)
    for row in covered_elsewhere:
        console.print(f"{row.name:>3} {row.fault}: {', '.join(row.covered_by)}", highlight=False, soft_wrap=True)


def save(folder: Path, results: Sequence[Result], *, logs: Path, row: Row) -> None:
    """Save the logs of the stack on which `row` failed, and all outcomes, in `folder`."""
    shutil.copytree(logs, folder / f"logs-{row.name}", dirs_exist_ok=True)
    outcomes = {result.row.name: dict(result.outcome) for result in results}
    (folder / "outcomes.json").write_bytes(orjson.dumps(outcomes, option=orjson.OPT_INDENT_2))


def _table(results: Sequence[Result]) -> Table:
    table = Table("#", "fault")
    for name in ("ok", "failed", "?", "healed"):
        table.add_column(name, justify="right")
    for name in results[0].outcome:
        table.add_column(name, justify="center")
    for result in results:
        outcomes = result.history.outcomes()
        counts = [str(outcomes[outcome]) for outcome in (Outcome.OK, Outcome.FAILED, Outcome.INDETERMINATE)]
        marks = [_BROKEN if violations else _HELD for violations in result.outcome.values()]
        table.add_row(result.row.name, result.row.fault, *counts, f"{result.healed_s:.1f} s", *marks)
    return table
