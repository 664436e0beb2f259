"""Prometheus's rules: every expression parses, every alert says what, how bad, and where to look, and was tried."""

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
"""When each alert fires and when not, in promtool's own format."""
SEVERITIES = {"page", "ticket"}
LOSSES = {
    f"otelcol_{where}_{what}"
    for where in ("receiver_refused", "exporter_send_failed", "exporter_enqueue_failed")
    for what in ("spans", "log_records", "metric_points")
}
"""Counters of the Collector, each for data that is lost; without the suffix `_total`."""

_COLLECTORS_OWN = re.compile(r"\botelcol_\w+")


def check(root: Path) -> Iterator[Finding]:
    """Parse the expressions; hold alerts against our own rules."""
    fired, kept_still = _tried(root)
    yield from _counters_of_the_collector(root)
    for file in sorted((root / FOLDER).glob("*.yaml")):
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for rule in (rule for group in content["groups"] for rule in group["rules"]):
            name = rule.get("alert") or rule.get("record")
            place = f"{file.relative_to(root)} {name}"
            if wrong := mistake(rule["expr"]):
                yield Finding(place, f"its expression does not parse: {wrong}", "mend the PromQL")
            if "alert" in rule:
                yield from _alert(root, place, rule)
                if name not in fired or name not in kept_still:
                    yield Finding(place, "no trial in which it fires, or none in which it does not", f"add to {TRIALS}")


def _counters_of_the_collector(root: Path) -> Iterator[Finding]:
    """Rules and trials name the Collector's counters as it exposes them, and some rule counts every kind of loss."""
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
                        f"{file.relative_to(root)} {name}", "the Collector has no such counter", f"write {right}"
                    )
    for name in sorted({f"{loss}{suffix}" for loss in LOSSES} - counted):
        yield Finding(str(FOLDER), f"no rule counts {name}", "add it to the loss of its signal")


def check_with_promtool(root: Path) -> Iterator[Finding]:
    """Ask Prometheus's own tool, which also knows functions and types; where it is content, try the alerts."""
    wrong = [*_promtool(root, "check", FOLDER)]
    yield from wrong or _promtool(root, "test", TRIALS)


def _promtool(root: Path, verb: str, folder: Path) -> Iterator[Finding]:
    for file in sorted((root / folder).glob("*.yaml")):
        done = PROMTOOL.run(verb, "rules", str(file))
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            yield Finding(str(file.relative_to(root)), said.replace(str(root), "."), "mend the rule")


def _tried(root: Path) -> tuple[set[str], set[str]]:
    """Give the alerts that some trial expects to fire, and those that some trial expects not to."""
    fired, kept_still = set[str](), set[str]()
    for file in (root / TRIALS).glob("*.yaml"):
        for trial in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for expected in trial["alert_rule_test"]:
                (fired if expected["exp_alerts"] else kept_still).add(expected["alertname"])
    return fired, kept_still


def _alert(root: Path, place: str, rule: dict[str, Any]) -> Iterator[Finding]:
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        yield Finding(place, "nobody knows whether to get up", f"set severity to {' or '.join(sorted(SEVERITIES))}")
    if "for" not in rule:
        yield Finding(place, "one bad moment sets it off", "say for how long in `for`")
    annotations = rule.get("annotations", {})
    if not annotations.get("summary"):
        yield Finding(place, "it does not say what is wrong", "add annotations.summary")
    page, _, section = str(annotations.get("runbook", "")).partition("#")
    runbook = root / page if page else None
    if runbook is None:
        yield Finding(place, "it does not say where to look first", "add annotations.runbook: docs/runbook.md#…")
    elif not runbook.is_file():
        yield Finding(place, f"there is no {page}", "write it")
    elif section not in _anchors(runbook):
        yield Finding(place, f"{page} has no section #{section}", "write it, or name one that is there")


def _anchors(page: Path) -> set[str]:
    """Give the anchors that a forge makes of the page's headings."""
    headings = (
        line.lstrip("#").strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    )
    return {"".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c == "-") for heading in headings}
