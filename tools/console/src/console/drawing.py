"""Prints a tree of spans, one line per span: service, operation, duration, and a bar on the timeline.

All text is `rich.text.Text`, so data of services is not interpreted as markup. Control characters are replaced. If the
output is not a terminal, the lines have no colours.
"""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from console.logs import LogRecord
from console.timeline import Timeline
from console.tree import Node, Tree

_COLOURS = {
    "gateway": "blue",
    "users": "green",
    "orders": "yellow",
    "notifications": "magenta",
    "workers": "cyan",
}
_OTHER_COLOUR = "white"
_LEVEL_STYLES = {"warn": "yellow", "error": "bold red", "fatal": "bold red"}

_BELOW = {"├╴": "│ ", "└╴": "  ", "": ""}  # what continues a connector in the lines below it
_TOOK_WIDTH = 9  # characters of a duration
_NARROWEST_WITH_BARS = 70  # columns; narrower output has no bars
_SECOND_US = 1_000_000
_MILLISECOND_US = 1_000


def print_tree(tree: Tree, console: Console, *, log_records: Mapping[str, Sequence[LogRecord]] | None = None) -> None:
    """Print the tree in the console's width.

    `log_records` are by span id. With them, the log records and the events of the spans are printed below the spans.
    """
    for text in _Drawing(tree, console.width, log_records).draw():
        console.print(text, no_wrap=True, overflow="ellipsis", crop=True)


def colour_service(service: str) -> Text:
    """Return the service's name in its colour."""
    return Text(replace_unprintable(service), style=_style(service))


def format_duration(microseconds: float) -> str:
    """Return a duration with about three digits and its unit."""
    rounded = float(f"{microseconds:.3g}")  # 999.6 ms are 1.00 s
    if rounded < _MILLISECOND_US:
        return f"{microseconds:.0f} µs"
    if rounded < _SECOND_US:
        return f"{_three_digits(microseconds / _MILLISECOND_US)} ms"
    return f"{_three_digits(microseconds / _SECOND_US)} s"


def replace_unprintable(text: str) -> str:
    """Replace all characters that are not printable, including line breaks and escape characters."""
    return "".join(character if character.isprintable() else "·" for character in text)


def replace_unprintable_in_lines(text: str) -> str:
    """Replace all characters that are not printable, except line breaks."""
    return "\n".join(replace_unprintable(line) for line in text.split("\n"))


class _Drawing:
    def __init__(self, tree: Tree, width: int, log_records: Mapping[str, Sequence[LogRecord]] | None) -> None:
        self._tree = tree
        self._width = width
        self._log_records = log_records or {}
        self._detailed = log_records is not None
        self._bar_width = width * 3 // 10 if width >= _NARROWEST_WITH_BARS else 0
        self._name_width = width - _TOOK_WIDTH - (self._bar_width + 2 if self._bar_width else 0)
        self._start = tree.start
        self._timeline = Timeline((span.start, span.end) for span in tree.spans())
        self._folds = self._timeline.folds()
        self._fold_cells = {self._cell((fold.start + fold.end) / 2) for fold in self._folds}

    def draw(self) -> Iterator[Text]:
        yield from self._heading()
        if self._bar_width:
            yield self._axis()
        yield from self._spans()
        drawn = {node.span.id for node in self._tree.walk()}
        for span_id, log_records in self._log_records.items():
            if span_id not in drawn:
                yield from (self._log_line(record, "") for record in log_records)
        if legend := self._legend():
            yield legend

    def _heading(self) -> Iterator[Text]:
        spans = self._tree.spans()
        failed = sum(bool(span.failure) for span in spans)
        yield Text.assemble(("trace ", "dim"), (replace_unprintable(self._tree.trace_id), "bold"))
        facts = [format_duration(self._tree.end - self._start), _count_of(len(spans), "span")]
        facts.append(_count_of(len(self._tree.services()), "service"))
        heading = Text(" · ".join(facts))
        if failed:
            heading.append(f" · {failed} failed", "bold red")
        if lost := self._tree.lost():
            heading.append(f" · {len(lost)} lost", "bold red")
        yield heading

    def _axis(self) -> Text:
        """Return the line above the bars, with the start time of each stretch."""
        marks = [" "] * self._bar_width
        for start in [self._start, *(fold.end for fold in self._folds)]:
            since = format_duration(start - self._start).replace(" ", "")
            label = "0" if start == self._start else f"+{since}"
            cell = min(self._cell(start), self._bar_width - len(label))
            after = cell + len(label)
            if not "".join(marks[max(0, cell - 1) : after + 1]).strip():
                marks[cell:after] = label
        return Text(" " * (self._width - self._bar_width) + "".join(marks).rstrip(), style="dim")

    def _legend(self) -> Text:
        signs = []
        if any(node.waited for node in self._tree.walk()):
            signs.append("⋯ waited since its parent ended")
        if self._folds and self._bar_width:
            signs.append("┊ idle time, folded")
        if any(span.links for span in self._tree.spans()):
            signs.append("↪ follows from other spans")
        if self._tree.lost():
            signs.append("† lost: not received")
        return Text("   ".join(signs), style="dim")

    def _spans(self) -> Iterator[Text]:
        """Yield the lines of all spans, parents before their children."""
        connectors = _connectors(len(self._tree.roots)) if len(self._tree.roots) > 1 else [""]
        waiting = [(root, "", connector) for root, connector in zip(self._tree.roots, connectors, strict=True)][::-1]
        while waiting:
            node, indent, connector = waiting.pop()
            below = indent + _BELOW[connector]
            yield self._span_line(node, indent + connector)
            yield from self._details(node, below + (_BELOW["├╴"] if node.children else "  "))
            connectors = _connectors(len(node.children))
            waiting += [(child, below, connector) for child, connector in zip(node.children, connectors, strict=True)][
                ::-1
            ]

    def _details(self, node: Node, indent: str) -> Iterator[Text]:
        """Yield the lines below a span: its failure, its log records and its events."""
        if node.span.failure:
            yield Text.assemble((indent, "dim"), (f"✗ {replace_unprintable(node.span.failure)}", "red"))
        events = node.span.events if self._detailed else ()
        for record in sorted([*self._log_records.get(node.span.id, ()), *events], key=lambda record: record.time):
            yield self._log_line(record, indent)

    def _span_line(self, node: Node, prefix: str) -> Text:
        span = node.span
        notes = Text()
        if span.failure:
            notes.append("  ✗", "bold red")
        if span.lost:
            notes.append("  †", "bold red")
        if span.links:
            notes.append("  ↪", "cyan")
        if span.repeat_reason:
            notes.append(f" {span.repeat_reason}" if span.links else f"  {span.repeat_reason}", "cyan")
        if node.waited:
            notes.append(f"  ⋯ {format_duration(node.waited)}", "dim")
        line = Text.assemble((prefix, "dim"), colour_service(span.service), " ", replace_unprintable(span.operation))
        if span.detail:
            line.append(f" {replace_unprintable(span.detail)}", "dim")
        line.truncate(max(1, self._name_width - notes.cell_len), overflow="ellipsis")
        line.append_text(notes)
        line.pad_right(max(0, self._name_width - line.cell_len))
        line.append("" if span.lost else format_duration(span.duration).rjust(_TOOK_WIDTH))
        if self._bar_width and not span.lost:
            line.append("  ").append_text(self._bar(node))
        line.rstrip()
        return line

    def _bar(self, node: Node) -> Text:
        """Return the span as a block, the wait before it as dots, and folded time as ┊."""
        span = node.span
        first = self._cell(span.start)
        after = max(first + 1, round(self._timeline.at(span.end) * self._bar_width))
        cells = [" "] * self._bar_width
        if node.waited:
            from_cell = self._cell(span.start - node.waited)
            cells[from_cell:first] = "·" * (first - from_cell)
        for cell in self._fold_cells:
            cells[cell] = "┊"
        cells[first:after] = "█" * (after - first)
        bar = Text("".join(cells), style="dim")
        bar.stylize("not dim red" if span.failure else f"not dim {_style(span.service)}", first, after)
        return bar

    def _log_line(self, record: LogRecord, indent: str) -> Text:
        text = Text.assemble(
            (indent, "dim"),
            (f"+{format_duration(max(0, record.time - self._start))} ", "dim"),
            (f"{replace_unprintable(record.level)} ", _LEVEL_STYLES.get(record.level, "dim")),
            replace_unprintable(record.text),
        )
        for key, value in record.attributes.items():
            text.append(f" {replace_unprintable(key)}={replace_unprintable(value)}", "dim")
        return text

    def _cell(self, time: float) -> int:
        return min(self._bar_width - 1, int(self._timeline.at(time) * self._bar_width))


def _style(service: str) -> str:
    return f"bold {_COLOURS.get(service, _OTHER_COLOUR)}"


def _connectors(count: int) -> list[str]:
    """Return the connectors of `count` siblings."""
    return ["├╴"] * (count - 1) + ["└╴"] * min(count, 1)


def _count_of(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _three_digits(number: float) -> str:
    whole_digits = len(str(int(float(f"{number:.3g}"))))
    return f"{number:.{max(0, 3 - whole_digits)}f}"
