"""Prometheus's rules: expressions parse, and alerts help whom they wake."""

from collections.abc import Callable

import pytest

from checks.programs import Program
from checks.telemetry.rules import PROMTOOL, check, check_with_promtool
from testkit.checkout import Checkout

Has = Callable[[Program], None]

FILE = "infra/prometheus/rules/hopline.yaml"


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


def test_promtool_knows_more(checkout: Checkout, has: Has) -> None:
    has(PROMTOOL)
    assert not list(check_with_promtool(checkout.root))
    checkout.spoil(FILE, "{{ $value | humanizeDuration }} or longer", "{{ $value | inHours }} or longer")
    assert ["inHours" in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]


def test_promtool_tries_when_alerts_fire(checkout: Checkout, has: Has) -> None:
    has(PROMTOOL)
    checkout.spoil(FILE, "(hopline_outbox_age_seconds) > 30", "(hopline_outbox_age_seconds) > 300")
    assert ["OutboxAges" in finding.wrong for finding in check_with_promtool(checkout.root)] == [True]
