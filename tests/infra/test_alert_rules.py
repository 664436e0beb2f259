"""Prometheus's rules: expressions parse, and alerts help whom they wake."""

from collections.abc import Callable

import pytest

from checks.programs import Program
from checks.telemetry.rules import PROMTOOL, check, check_with_promtool
from testkit.checkout import Checkout

Has = Callable[[Program], None]

FILE = "infra/prometheus/rules/hopline.yaml"
TRIALS = "infra/prometheus/trials/services.yaml"


def test_ours_are_right(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("sum by (le) (rate(hopline_job_wait", "sum by le (rate(hopline_job_wait", "does not parse"),
        ("severity: page", "severity: urgent", "whether to get up"),
        ("        for: 2m\n", "", "one bad moment"),
        ("          summary:", "          remark:", "does not say what is wrong"),
        ("          runbook: docs/runbook.md#error-budget\n", "", "where to look first"),
        ("runbook.md#error-budget", "runbook.md#error-budgets", "no section #error-budgets"),
        ("docs/runbook.md#error-budget", "docs/book.md#error-budget", "there is no docs/book.md"),
    ],
)
def test_a_planted_mistake_is_found(checkout: Checkout, right: str, wrong: str, said: str) -> None:
    checkout.spoil(FILE, right, wrong)
    found = list(check(checkout.root))
    assert any(said in finding.wrong for finding in found), found


@pytest.mark.parametrize("expected", ["", " []"], ids=["it fires", "it does not"])
def test_an_alert_that_was_not_tried_both_ways_is_found(checkout: Checkout, expected: str) -> None:
    right = f"alertname: StreamLags\n        exp_alerts:{expected}\n"
    checkout.spoil("infra/prometheus/trials/work.yaml", right, right.replace("StreamLags", "DeadJobs"))
    assert [finding.place for finding in check(checkout.root)] == [f"{FILE} StreamLags"]


@pytest.mark.parametrize("file", [FILE, "infra/prometheus/trials/stores.yaml"])
def test_a_counter_that_the_collector_does_not_have_is_found(checkout: Checkout, file: str) -> None:
    checkout.spoil(file, "otelcol_receiver_refused_spans", "otelcol_receiver_refused_spans_total")
    found = [finding for finding in check(checkout.root) if "no such counter" in finding.wrong]
    assert [finding.place for finding in found] == [f"{file} otelcol_receiver_refused_spans_total"]


def test_the_suffix_follows_the_collectors_configuration(checkout: Checkout) -> None:
    checkout.spoil("infra/otel-collector/config.yaml", "without_type_suffix: true", "without_type_suffix: false")
    assert any("write otelcol_receiver_refused_spans_total" in finding.mend for finding in check(checkout.root))


def test_a_kind_of_loss_that_no_rule_counts_is_found(checkout: Checkout) -> None:
    checkout.spoil(FILE, "otelcol_exporter_enqueue_failed_log_records", "otelcol_exporter_sent_log_records")
    assert "no rule counts otelcol_exporter_enqueue_failed_log_records" in [
        finding.wrong for finding in check(checkout.root)
    ]


def test_promtool_knows_more(checkout: Checkout, has: Has) -> None:
    has(PROMTOOL)
    assert not list(check_with_promtool(checkout.root))
    checkout.spoil(FILE, "{{ $value | humanizeDuration }} or longer", "{{ $value | inHours }} or longer")
    assert ["inHours" in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]


@pytest.mark.parametrize(
    ("spoiled", "alert"),
    [
        ((FILE, "otelcol_lost:rate5m > 0", "otelcol_lost:rate5m > 1.5"), "CollectorRefuses"),
        ((TRIALS, "values: _x9 0 18x10", "values: _x10 18x10"), "ErrorBudgetBurnsFast"),
        ((TRIALS, "values: _x9 0 1x10", "values: _x10 1x10"), "PoolIsUsedUp"),
    ],
)
def test_promtool_tries_losses_and_series_that_begin_with_an_increase(
    checkout: Checkout, has: Has, spoiled: tuple[str, str, str], alert: str
) -> None:
    has(PROMTOOL)
    checkout.spoil(*spoiled)
    assert [alert in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]


def test_promtool_tries_when_alerts_fire(checkout: Checkout, has: Has) -> None:
    has(PROMTOOL)
    checkout.spoil(FILE, "(hopline_outbox_age_seconds) > 30", "(hopline_outbox_age_seconds) > 300")
    assert ["OutboxAges" in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]
