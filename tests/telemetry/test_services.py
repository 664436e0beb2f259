"""docs/telemetry.md lists exactly the telemetry that the services and the worker emit, with conventional names."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from testkit.telemetry_page import read_listed

from .emitted import ROOT, Emitted, read_emitted


@pytest.fixture(scope="module")
def emitted() -> Emitted:
    return read_emitted()


def test_listed_log_events_are_the_emitted_ones(emitted: Emitted) -> None:
    assert read_listed("Log events") == emitted.events


def test_listed_metrics_are_the_emitted_ones(emitted: Emitted) -> None:
    assert read_listed("Metrics") == emitted.metrics


def test_listed_attributes_are_the_emitted_ones(emitted: Emitted) -> None:
    assert read_listed("Attributes") == emitted.attributes


def test_listed_spans_with_a_constant_name_are_the_emitted_ones(emitted: Emitted) -> None:
    constant = {name for name in read_listed("Spans") if "{" not in name}
    assert constant == emitted.spans


METRIC = re.compile(r"(?<![:\w])(?:hopline|http|db|messaging)_[a-z_]+")
LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on|without|ignoring) *\([^)]*\)")
SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_seconds", "_ratio")


def strip_suffixes(name: str) -> str:
    """Return the name of the metric without the suffixes of Prometheus."""
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def list_expressions(node: object) -> Iterator[str]:
    """Yield the PromQL expressions in a dashboard or a file of rules."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "expr":
            yield str(value)
        else:
            yield from list_expressions(value)


@pytest.mark.parametrize("folder", ["infra/grafana/dashboards", "infra/prometheus/rules"])
def test_metrics_of_dashboards_and_alerts_are_listed(folder: str) -> None:
    known = {strip_suffixes(name.replace(".", "_")) for name in read_listed("Metrics")}
    expressions = [
        expression
        for file in (ROOT / folder).iterdir()
        for expression in list_expressions(yaml.safe_load(file.read_text(encoding="utf-8")))
    ]
    queried = {
        strip_suffixes(name) for expression in expressions for name in METRIC.findall(LABELS.sub("", expression))
    }
    assert len(queried) > 5
    assert queried - known == set()


REGISTRY = ("opentelemetry.semconv._incubating.attributes", "opentelemetry.semconv.attributes")
"""Packages with all attributes, and with the stable attributes.

The first package marks the stable attributes as deprecated, because they moved to the second package.
"""


def read_registry() -> dict[str, bool]:
    """Return all attributes of the installed semantic conventions, each with whether it is deprecated."""
    return {name: deprecated for package in REGISTRY for name, deprecated in _read_attributes(package)}


def _read_attributes(package: str) -> Iterator[tuple[str, bool]]:
    """Yield the attributes of a package from its source, because only docstrings mark deprecated attributes."""
    for module in pkgutil.iter_modules(import_module(package).__path__):
        spec = find_spec(f"{package}.{module.name}")
        assert spec
        assert spec.origin
        body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
        for node, next_node in zip(body, [*body[1:], None], strict=True):
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                text = next_node.value if isinstance(next_node, ast.Expr) else None
                docstring = str(text.value) if isinstance(text, ast.Constant) else ""
                yield value.value, docstring.lstrip().startswith("Deprecated")


def test_attributes_are_in_the_semantic_conventions_or_begin_with_hopline() -> None:
    registry = read_registry()
    assert registry["peer.service"], "the registry must mark deprecated attributes"
    conventional = {name for name in read_listed("Attributes") if not name.startswith("hopline.")}
    assert conventional - registry.keys() == set(), "not in the semantic conventions: begin the name with hopline."
    deprecated = {name for name in conventional if registry[name]}
    assert deprecated == set(), "deprecated: use the replacement that the semantic conventions name"
