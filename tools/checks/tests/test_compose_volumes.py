"""The volumes of the Compose files."""

import pytest

from checks.containers.compose_volumes import check
from testkit.checkout import Checkout

MAIN = "infra/compose/compose.yaml"
STORE_URL = "file:///var/lib/hopline/objects"


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong", "place", "expected"),
    [
        ("redis:/data", "readis:/data", f"{MAIN} redis", "volumes has no readis"),
        ("redis:/data", "readis:/data:ro", f"{MAIN} redis", "volumes has no readis"),
        ("  objects: {}\n", "  objects: {}\n  spare: {}\n", "infra/compose spare", "no service uses this entry"),
        ("objects:/var/lib/hopline", "objects:/var/lib/reports", f"{MAIN} orders", "no volume is mounted there"),
        ("objects:/var/lib/hopline", "objects:/var/lib/hopline:ro", f"{MAIN} orders", "no volume is mounted there"),
        (STORE_URL, "file:///tmp/objects", f"{MAIN} report-worker", "OBJECT_STORE_URL=file:///tmp/objects: no volume"),
        (
            '["objects:/var',
            '["redis:/var',
            "infra/compose",
            "reports are at objects:/var/lib/hopline/objects and redis",
        ),
    ],
)
def test_mistake_is_found(checkout: Checkout, right: str, wrong: str, place: str, expected: str) -> None:
    checkout.corrupt(MAIN, right, wrong)
    assert any(finding.place == place and expected in finding.problem for finding in check(checkout.root))
