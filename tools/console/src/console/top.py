"""`make top`: the figures of the metrics page in the terminal, refreshed every two seconds until `q` or Ctrl-C."""

import asyncio
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import httpx
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from console.drawing import colour_service, format_duration, replace_unprintable
from console.failures import FailedError
from console.metrics import Figures, MetricsReader, Row
from console.stack import Stack

WINDOW_S = 60.0
REFRESH_S = 2.0

_REQUEST_SECONDS = 5.0
_MAX_ROWS = 8  # of one table on a terminal
_TWO_COLUMNS = 150  # width from which the tables have two columns, in characters
_SHORT_ID = 8  # characters of the id of a process
_CIRCUITS = {0.0: "closed", 1.0: "half open", 2.0: "open"}
_NO_METRICS = "No metrics yet. The services send them every ten seconds; place an order, or run make demo."


async def show_top(stack: Stack, console: Console) -> None:
    """Show the figures until `q` or Ctrl-C. Without a terminal, print them once as a plain table.

    Raises:
        FailedError: The figures cannot be read at the start.
    """
    async with httpx.AsyncClient(timeout=_REQUEST_SECONDS, trust_env=False) as client:
        metrics = MetricsReader(url=stack.prometheus, client=client, window_s=WINDOW_S)
        first = await _read_figures(metrics)
        if not console.is_terminal:
            console.print(Text("\n".join(plain_lines(first)) or _NO_METRICS), soft_wrap=True)
            return
        with _watch_key("q") as ended:
            await _refresh(metrics, console, first, ended)


async def _refresh(metrics: MetricsReader, console: Console, first: list[Figures], ended: asyncio.Event) -> None:
    """Redraw the figures every REFRESH_S seconds. If they cannot be read, keep the last ones below the reason."""
    figures, problem = first, ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(figures, problem, console.width), refresh=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), REFRESH_S)
            if ended.is_set():
                return
            try:
                figures, problem = await _read_figures(metrics), ""
            except FailedError as failure:
                problem = str(failure)


async def _read_figures(metrics: MetricsReader) -> list[Figures]:
    """Read the figures. Concurrent queries may fail together, so only the first error is raised."""
    try:
        return await metrics.read_figures()
    except* FailedError as failures:
        failure = failures.exceptions[0]
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    raise failure


def plain_lines(figures: Sequence[Figures]) -> list[str]:
    """Return one table of all rows: the section, the labels of the row, and its figures with their names."""
    cells = [
        (
            section.table.id,
            " ".join(filter(None, map(replace_unprintable, row.labels))) or "all",
            "  ".join(
                f"{column.title} {_format_figure(value, column.unit)}"
                for column, value in zip(section.table.columns, row.figures, strict=True)
            ),
        )
        for section in figures
        for row in section.rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [f"{table:<{widths[0]}}  {labels:<{widths[1]}}  {figures_text}" for table, labels, figures_text in cells]


def _screen(figures: Sequence[Figures], problem: str, width: int) -> RenderableType:
    clock = time.strftime("%H:%M:%S")
    head = Text.assemble(("Hopline ", "bold"), (f"the last {WINDOW_S:.0f} s, at {clock}; q ends", "dim"))
    lines: list[RenderableType] = [head]
    if problem:
        lines.append(Text(replace_unprintable(problem), style="bold red"))
    if not figures:
        return Group(*lines, Text(_NO_METRICS))
    tables = [_grid(section) for section in figures]
    if width < _TWO_COLUMNS:
        return Group(*lines, *tables)
    heights = [min(len(section.rows), _MAX_ROWS) + 2 for section in figures]
    middle = next(index for index in range(1, len(heights) + 1) if 2 * sum(heights[:index]) >= sum(heights))
    columns = Grid.grid(padding=(0, 3))
    columns.add_row(Group(*tables[:middle]), Group(*tables[middle:]))
    return Group(*lines, columns)


def _grid(figures: Figures) -> RenderableType:
    grid = Grid(box=None, pad_edge=False, header_style="dim", title_justify="left", title_style="bold")
    grid.title = figures.table.title
    for title in figures.label_titles:
        grid.add_column(title, no_wrap=True, overflow="ellipsis")
    rows = [(row, list(_cells(figures, row))) for row in figures.rows[:_MAX_ROWS]]
    for index, column in enumerate(figures.table.columns):  # names are truncated before figures
        width = max(len(column.title), *(len(cells[index]) for _, cells in rows))
        grid.add_column(column.title, justify="right", no_wrap=True, min_width=width)
    for row, cells in rows:
        grid.add_row(*_names(figures, row), *cells)
    if len(figures.rows) > _MAX_ROWS:
        grid.add_row(Text(f"… {len(figures.rows) - _MAX_ROWS} more", style="dim"))
    return grid


def _names(figures: Figures, row: Row) -> Iterator[Text]:
    for label, value in zip(figures.table.by, row.labels, strict=True):
        if label == "service_name":
            yield colour_service(value)
        else:
            yield Text(replace_unprintable(value[:_SHORT_ID] if label == "instance" else value))


def _cells(figures: Figures, row: Row) -> Iterator[Text]:
    for column, value in zip(figures.table.columns, row.figures, strict=True):
        is_bad = column.unit in {"share", "circuit"} and bool(value)
        yield Text(_format_figure(value, column.unit), style="bold red" if is_bad else "dim" if not value else "")


def _format_figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    match unit:
        case "rate":
            return "0" if not value else f"{_rounded(value)}/s" if value >= 1 else f"{_rounded(60 * value)}/min"
        case "share":
            return f"{_rounded(100 * value)} %"
        case "seconds":
            return format_duration(value * 1_000_000)
        case "circuit":
            return _CIRCUITS.get(value, f"{value:g}")
        case _:
            return _rounded(value)


def _rounded(value: float) -> str:
    """Return a number with three significant digits, or as a whole number from 100 on, without an exponent."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:.0f}"
    return f"{float(f'{value:.3g}'):f}".rstrip("0").rstrip(".")


@contextmanager
def _watch_key(key: str) -> Iterator[asyncio.Event]:
    """Set the event when the key is pressed. If stdin is not a terminal, only Ctrl-C ends the command."""
    pressed = asyncio.Event()
    if not sys.stdin.isatty():
        yield pressed
        return
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        """Read all waiting keys. `sys.stdin` would buffer those after the first, and the loop would not see them."""
        try:
            typed = os.read(descriptor, 1_024)
        except OSError:  # the terminal was closed
            typed = b""
        if not typed or key.encode() in typed.lower():
            pressed.set()

    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    loop.add_signal_handler(signal.SIGINT, pressed.set)  # needed if a shell started this process with SIGINT ignored
    try:
        yield pressed
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
