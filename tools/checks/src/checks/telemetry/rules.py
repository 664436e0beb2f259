"""Prometheus's rules: expressions parse, and alerts have a summary, a severity, a runbook and trials."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from checks.findings import Finding
from checks.programs import Program
from checks.telemetry.collector import counters_end_in_total
from checks.telemetry.promql import mistake

PROMTOOL = Program("promtool", "apt install prometheus")
FOLDER = Path("infra/prometheus/rules")
TRIALS = Path("infra/prometheus/trials")
"""Test cases in which each alert fires and does not fire, in promtool's format."""
SEVERITIES = {"page", "ticket"}
LOSSES = {
    f"otelcol_{where}_{what}"
    for where in ("receiver_refused", "exporter_send_failed", "exporter_enqueue_failed")
    for what in ("spans", "log_records", "metric_points")
}
"""Counters of the Collector for lost data, without the suffix `_total`."""

_COLLECTORS_OWN = re.compile(r"\botelcol_\w+")


def check(root: Path) -> Iterator[Finding]:
    """Parse the expressions, and check alerts with Hopline's rules."""
    fired, kept_still = _tried(root)
    yield from _counters_of_the_collector(root)
    for file in sorted((root / FOLDER).glob("*.yaml")):
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for rule in (rule for group in content["groups"] for rule in group["rules"]):
            name = rule.get("alert") or rule.get("record")
            place = f"{file.relative_to(root)} {name}"
            if wrong := mistake(rule["expr"]):
                yield Finding(place, f"its expression does not parse: {wrong}", "correct the PromQL")
            if "alert" in rule:
                yield from _alert(root, place, rule)
                if name not in fired or name not in kept_still:
                    yield Finding(
                        place, "it needs a trial in which it fires and one in which it does not", f"add to {TRIALS}"
                    )


def _counters_of_the_collector(root: Path) -> Iterator[Finding]:
    """Check that rules and trials use the exposed names of the Collector's counters, and cover all losses."""
    suffix = "_total" if counters_end_in_total(root) else ""
    counted = set[str]()
    for folder in (FOLDER, TRIALS):
        for file in sorted((root / folder).glob("*.yaml")):
            named = set(_COLLECTORS_OWN.findall(file.read_text(encoding="utf-8")))
            counted |= named if folder == FOLDER else set()
            for name in sorted(named):
                right = name.removesuffix("_total") + suffix
                if name != right:
                    yield Finding(
                        f"{file.relative_to(root)} {name}", "the Collector has no such counter", f"use {right}"
                    )
    for name in sorted({f"{loss}{suffix}" for loss in LOSSES} - counted):
        yield Finding(str(FOLDER), f"no rule counts {name}", "add it to the loss of its signal")


def check_with_promtool(root: Path) -> Iterator[Finding]:
    """Run promtool, which also checks functions and types; if it finds no error, run the trials."""
    wrong = [*_promtool(root, "check", FOLDER)]
    yield from wrong or _promtool(root, "test", TRIALS)


def _promtool(root: Path, verb: str, folder: Path) -> Iterator[Finding]:
    for file in sorted((root / folder).glob("*.yaml")):
        done = PROMTOOL.run(verb, "rules", str(file))
        if done.returncode:
            message = " ".join((done.stderr or done.stdout).split())
            yield Finding(str(file.relative_to(root)), message.replace(str(root), "."), "correct the rule")


def _tried(root: Path) -> tuple[set[str], set[str]]:
    """Return the alerts that a trial expects to fire, and those that a trial expects not to fire."""
    fired, kept_still = set[str](), set[str]()
    for file in (root / TRIALS).glob("*.yaml"):
        for trial in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for expected in trial["alert_rule_test"]:
                (fired if expected["exp_alerts"] else kept_still).add(expected["alertname"])
    return fired, kept_still


def _alert(root: Path, place: str, rule: dict[str, Any]) -> Iterator[Finding]:
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        yield Finding(place, "it has no severity", f"set severity to {' or '.join(sorted(SEVERITIES))}")
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
    headings = (
        line.lstrip("#").strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    )
    return {"".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c == "-") for heading in headings}
