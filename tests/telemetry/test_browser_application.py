"""docs/telemetry.md lists the actions that pages of the browser application record, and nothing else."""

import re

from .emitted import ROOT

SOURCES = ROOT / "services" / "gateway" / "web" / "src"
ACTION = re.compile(r'\b(?:startAction|useLoad|useCommand)\(\s*"([a-z ]+)"')


def read_section() -> str:
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    return page.partition("\n## The browser application\n")[2].partition("\n## ")[0]


def test_actions_of_pages_are_listed() -> None:
    sources = [file for file in SOURCES.rglob("*.ts*") if ".test." not in file.name]
    recorded = {name for file in sources for name in ACTION.findall(file.read_text(encoding="utf-8"))}
    rows = [row for row in read_section().splitlines() if "| INTERNAL |" in row]
    assert recorded
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == recorded


def test_metrics_of_pages_are_listed() -> None:
    source = (SOURCES / "telemetry" / "vitals.ts").read_text(encoding="utf-8")
    named = set(re.findall(r'"(hopline\.web_vital\.[a-z_]+)"', source))
    assert named
    assert named == set(re.findall(r"`(hopline\.web_vital\.[a-z_]+)`", read_section()))
