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
from console.metrics import Figures, Metrics, Row
from console.stack import Stack

WINDOW_S = 60.0
REFRESH_S = 2.0

_REQUEST_SECONDS = 5.0
_MAX_ROWS = 8  # of one table on a terminal
_TWO_COLUMNS = 150
_SHORT_ID = 8
_CIRCUITS = {0.0: "closed", 1.0: "half open", 2.0: "open"}
_NO_METRICS = "No metrics yet. The services send them every ten seconds; place an order, or run make demo."


async def show_top(stack: Stack, console: Console) -> None:
    """Show the figures until `q` or Ctrl-C; without a terminal print one plain table and end.

    Raises:
        FailedError: There is no connection, or the response is not Prometheus's.
    """
    async with httpx.AsyncClient(timeout=_REQUEST_SECONDS, trust_env=False) as client:
        metrics = Metrics(url=stack.prometheus, client=client, window_s=WINDOW_S)
        first = await _figures(metrics)
        if not console.is_terminal:
            console.print(Text("\n".join(plain_lines(first)) or _NO_METRICS), soft_wrap=True)
            return
        with _pressed("q") as ended:
            await _refresh(metrics, console, first, ended)


async def _refresh(metrics: Metrics, console: Console, first: list[Figures], ended: asyncio.Event) -> None:
    """Draw again and again. A failed reading leaves the last figures, with the reason above them."""
    figures, problem = first, ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(figures, problem, console.width), refresh=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), REFRESH_S)
            if ended.is_set():
                return
            try:
                figures, problem = await _figures(metrics), ""
            except FailedError as failure:
                problem = str(failure)


async def _figures(metrics: Metrics) -> list[Figures]:
    try:
        return await metrics.figures()
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
    return [f"{table:<{widths[0]}}  {of:<{widths[1]}}  {written}" for table, of, written in cells]


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
    beside = Grid.grid(padding=(0, 3))
    beside.add_row(Group(*tables[:middle]), Group(*tables[middle:]))
    return Group(*lines, beside)


def _grid(figures: Figures) -> RenderableType:
    grid = Grid(box=None, pad_edge=False, header_style="dim", title_justify="left", title_style="bold")
    grid.title = figures.table.title
    for title in figures.label_titles:
        grid.add_column(title, no_wrap=True, overflow="ellipsis")
    rows = [(row, list(_cells(figures, row))) for row in figures.rows[:_MAX_ROWS]]
    for index, column in enumerate(figures.table.columns):  # names are cut before figures are
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
    """Return a number with at least three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


@contextmanager
def _pressed(key: str) -> Iterator[asyncio.Event]:
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
    loop.add_signal_handler(signal.SIGINT, pressed.set)  # a shell may have started this with SIGINT ignored
    try:
        yield pressed
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
