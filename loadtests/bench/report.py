"""Prints figures and saves them as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import cores
from bench.figures import Benchmark, Figure


def machine_facts() -> dict[str, str]:
    """Return facts about the machine. The load averages show whether other programs used the cores."""
    return {
        "cores": f"{len(cores.available_cores())}; {cores.describe_cores()}",
        "load": " ".join(f"{average:.2f}" for average in os.getloadavg()) + " (averages over 1, 5 and 15 minutes)",
        "python": platform.python_version(),
    }


def show(benchmark: Benchmark, figures: Sequence[Figure], console: Console) -> None:
    """Print a table of the figures, their targets, and whether the targets were reached."""
    table = Table(title=f"{benchmark.name}: {benchmark.measures}", title_justify="left", title_style="bold")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("target", justify="right")
    table.add_column("reached")
    for figure in figures:
        target = str(figure.target) if figure.target else ""
        table.add_row(figure.name, _format(figure.value), figure.unit, target, _format_reached(figure))
    console.print(table)


def save(benchmark: Benchmark, figures: Sequence[Figure], facts: dict[str, str], folder: Path) -> Path:
    """Write the figures to `folder/<benchmark>.json`, which replaces those of the last run."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{benchmark.name}.json"
    document = {
        "benchmark": benchmark.name,
        "measures": benchmark.measures,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": facts,
        "figures": [
            asdict(figure) | {"reached": figure.target.reached_by(figure.value) if figure.target else None}
            for figure in figures
        ],
    }
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return file


def _format_reached(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return "[green]yes[/]" if figure.target.reached_by(figure.value) else "[red]no[/]"


def _format(value: float) -> str:
    """Return the value with two decimal places, one from 10 on, and none from 100 on."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f}"
