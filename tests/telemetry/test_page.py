"""docs/telemetry.md lists what is emitted, and nothing else."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from .emitted import ROOT, Emitted, emitted

PAGE = ROOT / "docs" / "telemetry.md"


def listed(heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    section, _, _ = section.partition("\n## ")
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


@pytest.fixture(scope="module")
def code() -> Emitted:
    return emitted()


def test_log_events(code: Emitted) -> None:
    assert listed("Log lines") == code.events


def test_metrics(code: Emitted) -> None:
    assert listed("Metrics") == code.metrics


def test_attributes(code: Emitted) -> None:
    assert listed("Attributes") == code.attributes


def test_spans(code: Emitted) -> None:
    constant = {name for name in listed("Spans") if "{" not in name}
    assert constant == code.spans


ASKED = re.compile(r"\b((?:hopline|http|db|messaging)_[a-z_]+)\b(?=[{\[])")


@pytest.mark.parametrize("folder", ["infra/grafana/dashboards", "infra/prometheus/rules"])
def test_dashboards_and_alerts_ask_for_metrics_that_are_listed(folder: str) -> None:
    known = {name.replace(".", "_") for name in listed("Metrics")}
    asked = {
        name
        for file in (ROOT / Path(folder)).iterdir()
        for name in re.findall(
            r"\b((?:hopline|http|db|messaging)_[a-z_]+)\b(?=[{\[])", file.read_text(encoding="utf-8")
        )
    }
    assert asked
    assert {name for name in asked if not any(name.startswith(metric) for metric in known)} == set()


REGISTRY = ("opentelemetry.semconv._incubating.attributes", "opentelemetry.semconv.attributes")
"""All attributes of `opentelemetry-semantic-conventions`, then the stable ones, which the first marks as moved."""


def registered() -> dict[str, bool]:
    """Return every attribute of the installed registry, with whether it is deprecated."""
    return {name: deprecated for package in REGISTRY for name, deprecated in _attributes_of(package)}


def _attributes_of(package: str) -> Iterator[tuple[str, bool]]:
    for module in pkgutil.iter_modules(import_module(package).__path__):
        spec = find_spec(f"{package}.{module.name}")
        assert spec
        assert spec.origin
        body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
        for node, described in zip(body, [*body[1:], None], strict=True):
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                text = described.value if isinstance(described, ast.Expr) else None
                said = str(text.value) if isinstance(text, ast.Constant) else ""
                yield value.value, said.lstrip().startswith("Deprecated")


def test_attributes_are_of_the_semantic_conventions_or_our_own() -> None:
    registry = registered()
    assert registry["peer.service"], "the registry says what is deprecated"
    theirs = {name for name in listed("Attributes") if not name.startswith("hopline.")}
    assert theirs - registry.keys() == set(), "not in the registry: begin its name with hopline."
    assert {name for name in theirs if registry[name]} == set(), "deprecated: see the registry for what replaces it"
