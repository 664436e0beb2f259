"""Prometheus's rules: expressions parse, and alerts have a summary, a severity, a runbook and rule tests."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from checks.findings import Finding
from checks.programs import Program
from checks.telemetry.collector import counters_end_in_total
from checks.telemetry.promql import parse_error

PROMTOOL = Program("promtool", "apt install prometheus")
FOLDER = Path("infra/prometheus/rules")
RULE_TESTS = Path("infra/prometheus/rule-tests")
"""Tests in promtool's format. Each alert has one in which it fires and one in which it does not fire."""
SEVERITIES = {"page", "ticket"}
LOSSES = {
    f"otelcol_{where}_{what}"
    for where in ("receiver_refused", "exporter_send_failed", "exporter_enqueue_failed")
    for what in ("spans", "log_records", "metric_points")
}
"""Counters of the Collector for data that it rejected, did not send or did not queue, without the suffix `_total`."""

_COLLECTOR_METRIC = re.compile(r"(?<![\w:])otelcol_\w+(?![\w:])")
"""Not the name of a recording rule, which contains a colon."""
_COLLECTOR_COUNTER = re.compile(r"otelcol_(?:receiver|processor|exporter)_\w+_(?:spans|log_records|metric_points)")
_FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def check(root: Path) -> Iterator[Finding]:
    """Parse the expressions, and check that alerts are complete and that no counter for lost data is missing."""
    firing, silent = _tested_alerts(root)
    yield from _check_collector_counters(root)
    for file in sorted((root / FOLDER).glob("*.yaml")):
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for rule in (rule for group in content["groups"] for rule in group["rules"]):
            name = rule.get("alert") or rule.get("record")
            place = f"{file.relative_to(root)} {name}"
            if error := parse_error(rule["expr"]):
                yield Finding(place, f"its expression does not parse: {error}", "correct the PromQL")
            if "alert" in rule:
                yield from _check_alert(root, place, rule)
                for alerts, fires in ((firing, "fires"), (silent, "does not fire")):
                    if name not in alerts:
                        yield Finding(place, f"no rule test expects that it {fires}", f"add one to {RULE_TESTS}")


def _check_collector_counters(root: Path) -> Iterator[Finding]:
    """Check the names of the Collector's counters in rules and rule tests, and that a rule uses each of `LOSSES`."""
    suffix = "_total" if counters_end_in_total(root) else ""
    used = set[str]()
    for folder in (FOLDER, RULE_TESTS):
        for file in sorted((root / folder).glob("*.yaml")):
            names = set(_COLLECTOR_METRIC.findall(file.read_text(encoding="utf-8")))
            used |= names if folder == FOLDER else set()
            for name in sorted(names):
                base = name.removesuffix("_total")
                is_counter = name != base or _COLLECTOR_COUNTER.fullmatch(base)
                if is_counter and name != base + suffix:
                    yield Finding(
                        f"{file.relative_to(root)} {name}", "the Collector has no such counter", f"use {base}{suffix}"
                    )
    for name in sorted({f"{loss}{suffix}" for loss in LOSSES} - used):
        yield Finding(str(FOLDER), f"no rule counts {name}", "add it to otelcol_lost:rate5m of its signal")


def check_with_promtool(root: Path) -> Iterator[Finding]:
    """Run promtool, which also checks functions and types; if it finds no error, run the rule tests."""
    problems = [*_run_promtool(root, "check", FOLDER)]
    yield from problems or _run_promtool(root, "test", RULE_TESTS)


def _run_promtool(root: Path, verb: str, folder: Path) -> Iterator[Finding]:
    for file in sorted((root / folder).glob("*.yaml")):
        done = PROMTOOL.run(verb, "rules", str(file))
        if done.returncode:
            message = " ".join((done.stderr or done.stdout).split())
            yield Finding(str(file.relative_to(root)), message.replace(str(root), "."), "correct the rule")


def _tested_alerts(root: Path) -> tuple[set[str], set[str]]:
    """Return the alerts that a rule test expects to fire, and those that a rule test expects not to fire."""
    firing, silent = set[str](), set[str]()
    for file in (root / RULE_TESTS).glob("*.yaml"):
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for expected in test["alert_rule_test"]:
                (firing if expected["exp_alerts"] else silent).add(expected["alertname"])
    return firing, silent


def _check_alert(root: Path, place: str, rule: dict[str, Any]) -> Iterator[Finding]:
    severity = rule.get("labels", {}).get("severity")
    if severity not in SEVERITIES:
        problem = f"its severity {severity} is unknown" if severity else "it has no severity"
        yield Finding(place, problem, f"set severity to {' or '.join(sorted(SEVERITIES))}")
    if "for" not in rule:
        yield Finding(place, "it fires without delay", "set a duration in `for`")
    annotations = rule.get("annotations", {})
    if not annotations.get("summary"):
        yield Finding(place, "it has no summary", "add annotations.summary")
    page, _, section = str(annotations.get("runbook", "")).partition("#")
    runbook = root / page if page else None
    if runbook is None:
        yield Finding(place, "it has no runbook", "add annotations.runbook: docs/runbook.md#…")
    elif not runbook.is_file():
        yield Finding(place, f"{page} does not exist", "write it")
    elif section not in _anchors(runbook):
        yield Finding(place, f"{page} has no section #{section}", "write it, or use an existing one")


def _anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub generates them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
