"""Prometheus's rules: expressions parse, and alerts are complete."""

from collections.abc import Callable

import pytest

from checks.programs import Program
from checks.telemetry.rules import LOSSES, PROMTOOL, check, check_with_promtool
from testkit.checkout import Checkout

Require = Callable[[Program], None]

RULES = "infra/prometheus/rules/hopline.yaml"
RULE_TESTS = "infra/prometheus/rule-tests"
COLLECTOR = "infra/otel-collector/config.yaml"


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("sum by (le) (rate(hopline_job_wait", "sum by le (rate(hopline_job_wait", "does not parse"),
        ("severity: page", "severity: urgent", "its severity urgent is unknown"),
        ("severity: page", "urgency: page", "no severity"),
        ("        for: 2m\n", "", "without delay"),
        ("          summary:", "          remark:", "no summary"),
        ("          runbook: docs/runbook.md#error-budget\n", "", "no runbook"),
        ("runbook.md#error-budget", "runbook.md#error-budgets", "no section #error-budgets"),
        ("docs/runbook.md#error-budget", "docs/book.md#error-budget", "docs/book.md does not exist"),
    ],
)
def test_mistake_is_found(checkout: Checkout, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(RULES, right, wrong)
    [finding] = check(checkout.root)
    assert finding.place.startswith(RULES)
    assert expected in finding.problem


@pytest.mark.parametrize(("exp_alerts", "missing"), [("", "fires"), (" []", "does not fire")])
def test_alert_is_found_when_a_rule_test_is_missing(checkout: Checkout, exp_alerts: str, missing: str) -> None:
    right = f"alertname: StreamLags\n        exp_alerts:{exp_alerts}\n"
    checkout.corrupt(f"{RULE_TESTS}/work.yaml", right, right.replace("StreamLags", "DeadJobs"))
    [finding] = check(checkout.root)
    assert finding.place == f"{RULES} StreamLags"
    assert finding.problem == f"no rule test expects that it {missing}"


@pytest.mark.parametrize(
    ("text", "anchor", "exists"),
    [
        ("## The `error_budget`, of 30 days", "the-error_budget-of-30-days", True),
        ("```bash\n# error-budget-script\n```", "error-budget-script", False),
    ],
    ids=["heading", "comment in a code block"],
)
def test_anchors_of_a_runbook_are_those_of_github(checkout: Checkout, text: str, anchor: str, exists: bool) -> None:
    checkout.corrupt("docs/runbook.md", "\n## ", f"\n{text}\n\n## ")
    checkout.corrupt(RULES, "runbook.md#error-budget\n", f"runbook.md#{anchor}\n")
    found = [finding.problem for finding in check(checkout.root)]
    assert found == ([] if exists else [f"docs/runbook.md has no section #{anchor}"])


@pytest.mark.parametrize("file", [RULES, f"{RULE_TESTS}/stores.yaml"])
def test_unknown_counter_of_the_collector_is_found(checkout: Checkout, file: str) -> None:
    checkout.corrupt(file, "otelcol_receiver_refused_spans", "otelcol_receiver_refused_spans_total")
    found = [finding for finding in check(checkout.root) if "no such counter" in finding.problem]
    assert [finding.place for finding in found] == [f"{file} otelcol_receiver_refused_spans_total"]


def test_counters_need_the_suffix_total_when_the_collector_adds_it(checkout: Checkout) -> None:
    """Only counters have the suffix: not the gauge of the queue, and not the recording rule `otelcol_lost:rate5m`."""
    checkout.corrupt(COLLECTOR, "without_type_suffix: true", "without_type_suffix: false")
    checkout.corrupt(RULES, "otelcol_lost:rate5m > 0", "otelcol_lost:rate5m > 0 and otelcol_exporter_queue_size > 0")
    found = {finding.fix for finding in check(checkout.root) if "no such counter" in finding.problem}
    assert found == {f"use {loss}_total" for loss in LOSSES}


def test_counter_of_lost_data_is_found_when_no_rule_uses_it(checkout: Checkout) -> None:
    checkout.corrupt(RULES, "otelcol_exporter_enqueue_failed_log_records", "otelcol_exporter_sent_log_records")
    assert "no rule counts otelcol_exporter_enqueue_failed_log_records" in [
        finding.problem for finding in check(checkout.root)
    ]


def test_promtool_finds_errors_that_the_parser_accepts(checkout: Checkout, require: Require) -> None:
    require(PROMTOOL)
    assert not list(check_with_promtool(checkout.root))
    checkout.corrupt(RULES, "{{ $value | humanizeDuration }} or longer", "{{ $value | inHours }} or longer")
    [finding] = check_with_promtool(checkout.root)
    assert "inHours" in finding.problem


@pytest.mark.parametrize(
    ("file", "right", "wrong", "alert"),
    [
        (RULES, "(hopline_outbox_age_seconds) > 30", "(hopline_outbox_age_seconds) > 300", "OutboxAges"),
        (RULES, "otelcol_lost:rate5m > 0", "otelcol_lost:rate5m > 1.5", "CollectorRefuses"),
        (f"{RULE_TESTS}/services.yaml", "values: _x9 0 18x10", "values: _x10 18x10", "ErrorBudgetBurnsFast"),
        (f"{RULE_TESTS}/services.yaml", "values: _x9 0 1x10", "values: _x10 1x10", "PoolIsUsedUp"),
    ],
    ids=["age", "loss", "errors without the initial 0", "timeouts without the initial 0"],
)
def test_promtool_reports_the_alert_when_its_rule_test_fails(
    checkout: Checkout, require: Require, *, file: str, right: str, wrong: str, alert: str
) -> None:
    require(PROMTOOL)
    checkout.corrupt(file, right, wrong)
    [finding] = check_with_promtool(checkout.root)
    assert alert in finding.problem
