"""The tree as the console prints it."""

import io
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from console.drawing import format_duration, print_tree
from console.tree import Tree

from .jaeger_spans import span, tree


def draw(built: Tree, *, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    print_tree(built, console)
    return console.export_text().splitlines()


class TestDrawing:
    def test_tree_is_drawn_when_it_is_deeper_than_the_recursion_limit(self) -> None:
        depth = sys.getrecursionlimit() + 200
        built = tree(span("s0"), *(span(f"s{level}", f"s{level - 1}", start=level) for level in range(1, depth)))
        [*_, last] = draw(built, width=3 * depth)
        assert last.strip().startswith(f"└╴orders op s{depth - 1} ")

    def test_bars_are_aligned_when_a_name_has_wide_characters(self) -> None:
        wide = span("wide", "root") | {"operationName": "注文を出荷する"}
        [root, child] = draw(tree(span("root"), wide), width=100)[3:]
        assert cell_len(root[: root.index("█")]) == cell_len(child[: child.index("█")])

    def test_connectors_show_siblings_and_roots(self) -> None:
        built = tree(
            span("root"),
            span("first", "root", start=1),
            span("below", "first", start=2),
            span("last", "root", start=3),
            span("other", start=4),
        )
        assert [line.split(" op ")[0] for line in draw(built, width=60)[2:]] == [
            "├╴orders",
            "│ ├╴orders",
            "│ │ └╴orders",
            "│ └╴orders",
            "└╴orders",
        ]


class TestFormatDuration:
    @pytest.mark.parametrize(
        ("microseconds", "expected"),
        [
            (0, "0 µs"),
            (999, "999 µs"),
            (999.6, "1.00 ms"),
            (1_000, "1.00 ms"),
            (9_996, "10.0 ms"),
            (12_345, "12.3 ms"),
            (999_000, "999 ms"),
            (999_600, "1.00 s"),
            (4_190_000, "4.19 s"),
            (1_234_000_000, "1234 s"),
        ],
    )
    def test_unit_and_decimals_fit_the_rounded_duration(self, microseconds: float, expected: str) -> None:
        assert format_duration(microseconds) == expected
