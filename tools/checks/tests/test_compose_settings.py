"""Compose passes each documented variable to a container."""

from pathlib import Path

import pytest

from checks.containers.compose_settings import PAGES, check
from testkit.checkout import Checkout

MAIN = "infra/compose/compose.yaml"


@pytest.fixture
def checkout(checkout: Checkout, root: Path) -> Checkout:
    for page in (page for pattern in PAGES for page in root.glob(pattern)):
        checkout.write(str(page.relative_to(root)), page.read_text(encoding="utf-8"))
    return checkout


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "place"),
    [
        (MAIN, "      RATE_LIMIT_USER:", "      RATE_LIMIT_NOBODY:", "docs/tour.md RATE_LIMIT_USER"),
        (MAIN, "SLOW_STATEMENT_MS:", 'SLOW_STATEMENT_MS: "500"', "docs/telemetry.md SLOW_STATEMENT_MS"),
        ("docs/tour.md", "`LOG_LEVEL=LOUD make up`", "`A=b=1 LOG_LEVEL=LOUD make up`", "docs/tour.md A"),
        ("README.md", "HOPLINE_PORT_OFFSET=", "HOPLINE_OFFSET=", "README.md HOPLINE_OFFSET"),
    ],
)
def test_variable_is_found_when_no_container_receives_it(
    checkout: Checkout, file: str, right: str, wrong: str, place: str
) -> None:
    checkout.corrupt(file, right, wrong)
    assert [finding.place for finding in check(checkout.root)] == [place]


def test_variable_is_ignored_when_it_is_only_for_the_embedded_mode(checkout: Checkout) -> None:
    checkout.corrupt("docs/tour.md", "`LOG_LEVEL=LOUD make up`", "`A=1 make up MODE=embedded`")
    assert not list(check(checkout.root))
