"""docs/telemetry.md lists exactly the actions and metrics that the browser application records."""

import re

from testkit.telemetry_page import read_section

from .emitted import ROOT

SECTION = "The browser application"
SOURCES = ROOT / "services" / "gateway" / "web" / "src"
ACTION = re.compile(r'\b(?:startAction|useLoad|useCommand)\(\s*"([a-z ]+)"')


def test_listed_actions_are_the_recorded_ones() -> None:
    sources = [file for file in SOURCES.rglob("*.ts*") if ".test." not in file.name]
    recorded = {name for file in sources for name in ACTION.findall(file.read_text(encoding="utf-8"))}
    rows = [row for row in read_section(SECTION).splitlines() if "| INTERNAL |" in row]
    assert recorded
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == recorded


def test_listed_metrics_are_the_recorded_ones() -> None:
    source = (SOURCES / "telemetry" / "vitals.ts").read_text(encoding="utf-8")
    recorded = set(re.findall(r'"(hopline\.web_vital\.[a-z_]+)"', source))
    assert recorded
    assert set(re.findall(r"`(hopline\.web_vital\.[a-z_]+)`", read_section(SECTION))) == recorded
