"""docs/telemetry.md lists what is emitted, and nothing else."""

import re
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
