"""The make targets and tests that docs/tour.md names exist, and each stop of the tour has the same parts."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "docs/tour.md"
TEXT = TOUR.read_text(encoding="utf-8")

TESTS = sorted(set(re.findall(r"`((?:[\w-]+/)+test_\w+\.py(?:::\w+)?)`", TEXT)))
TARGETS = sorted(set(re.findall(r"\bmake ([a-z-]+)", TEXT)))
STOPS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
"""The sections of the tour."""


@pytest.mark.parametrize("test", TESTS)
def test_named_test_exists(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not name or name in found


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.partition("\n")[0])
def test_stop_has_four_parts(stop: str) -> None:
    parts = ("**The usual advice.**", "**What Hopline does.**", "**Try it.**", "**Traps.**")
    assert [part for part in parts if part not in stop] == []
