"""Prometheus's rules: expressions parse, and alerts are complete."""

from collections.abc import Callable

import pytest

from checks.programs import Program
from checks.telemetry.rules import LOSSES, PROMTOOL, check, check_with_promtool
from testkit.checkout import Checkout

Has = Callable[[Program], None]

FILE = "infra/prometheus/rules/hopline.yaml"
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
    checkout.corrupt(FILE, right, wrong)
    [finding] = check(checkout.root)
    assert finding.place.startswith(FILE)
    assert expected in finding.wrong


@pytest.mark.parametrize(("expected", "fires"), [("", "fires"), (" []", "does not fire")])
def test_alert_is_found_when_a_rule_test_is_missing(checkout: Checkout, expected: str, fires: str) -> None:
    right = f"alertname: StreamLags\n        exp_alerts:{expected}\n"
    checkout.corrupt(f"{RULE_TESTS}/work.yaml", right, right.replace("StreamLags", "DeadJobs"))
    [finding] = check(checkout.root)
    assert finding.place == f"{FILE} StreamLags"
    assert finding.wrong == f"no rule test expects that it {fires}"


@pytest.mark.parametrize(
    ("heading", "anchor", "is_found"),
    [
        ("## The `error_budget`, of 30 days", "the-error_budget-of-30-days", False),
        ("```bash\n# error-budget-script\n```", "error-budget-script", True),
    ],
)
def test_anchors_of_a_runbook_are_those_of_github(
    checkout: Checkout, heading: str, anchor: str, is_found: bool
) -> None:
    checkout.corrupt("docs/runbook.md", "\n## ", f"\n{heading}\n\n## ")
    checkout.corrupt(FILE, "runbook.md#error-budget\n", f"runbook.md#{anchor}\n")
    found = [finding.wrong for finding in check(checkout.root)]
    assert found == [f"docs/runbook.md has no section #{anchor}"] * is_found


@pytest.mark.parametrize("file", [FILE, f"{RULE_TESTS}/stores.yaml"])
def test_unknown_counter_of_the_collector_is_found(checkout: Checkout, file: str) -> None:
    checkout.corrupt(file, "otelcol_receiver_refused_spans", "otelcol_receiver_refused_spans_total")
    found = [finding for finding in check(checkout.root) if "no such counter" in finding.wrong]
    assert [finding.place for finding in found] == [f"{file} otelcol_receiver_refused_spans_total"]


def test_suffix_of_counters_depends_on_the_collectors_configuration(checkout: Checkout) -> None:
    """Only counters have the suffix: not the gauge of the queue, and not the recording rule `otelcol_lost:rate5m`."""
    checkout.corrupt(COLLECTOR, "without_type_suffix: true", "without_type_suffix: false")
    checkout.corrupt(FILE, "otelcol_lost:rate5m > 0", "otelcol_lost:rate5m > 0 and otelcol_exporter_queue_size > 0")
    found = {finding.fix for finding in check(checkout.root) if "no such counter" in finding.wrong}
    assert found == {f"use {loss}_total" for loss in LOSSES}


def test_loss_is_found_when_no_rule_counts_it(checkout: Checkout) -> None:
    checkout.corrupt(FILE, "otelcol_exporter_enqueue_failed_log_records", "otelcol_exporter_sent_log_records")
    assert "no rule counts otelcol_exporter_enqueue_failed_log_records" in [
        finding.wrong for finding in check(checkout.root)
    ]


def test_promtool_finds_errors_that_the_parser_accepts(checkout: Checkout, has: Has) -> None:
    has(PROMTOOL)
    assert not list(check_with_promtool(checkout.root))
    checkout.corrupt(FILE, "{{ $value | humanizeDuration }} or longer", "{{ $value | inHours }} or longer")
    assert ["inHours" in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]


@pytest.mark.parametrize(
    ("corrupted", "alert"),
    [
        ((FILE, "otelcol_lost:rate5m > 0", "otelcol_lost:rate5m > 1.5"), "CollectorRefuses"),
        ((f"{RULE_TESTS}/services.yaml", "values: _x9 0 18x10", "values: _x10 18x10"), "ErrorBudgetBurnsFast"),
        ((f"{RULE_TESTS}/services.yaml", "values: _x9 0 1x10", "values: _x10 1x10"), "PoolIsUsedUp"),
    ],
)
def test_promtool_runs_rule_tests_of_losses_and_of_new_series(
    checkout: Checkout, has: Has, corrupted: tuple[str, str, str], alert: str
) -> None:
    has(PROMTOOL)
    checkout.corrupt(*corrupted)
    assert [alert in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]


def test_promtool_runs_the_rule_tests(checkout: Checkout, has: Has) -> None:
    has(PROMTOOL)
    checkout.corrupt(FILE, "(hopline_outbox_age_seconds) > 30", "(hopline_outbox_age_seconds) > 300")
    assert ["OutboxAges" in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]
