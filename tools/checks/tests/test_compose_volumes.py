"""The volumes of the Compose files."""

import pytest

from checks.containers.compose_volumes import check
from testkit.checkout import Checkout

MAIN = "infra/compose/compose.yaml"
STORE = "file:///var/lib/hopline/objects"


def test_ours_hang_together(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong", "place", "said"),
    [
        ("redis:/data", "readis:/data", f"{MAIN} redis", "volumes has no readis"),
        ("  objects: {}\n", "  objects: {}\n  spare: {}\n", "infra/compose spare", "none of the services uses this"),
        ("objects:/var/lib/hopline", "objects:/var/lib/reports", f"{MAIN} orders", "no volume is mounted there"),
        ("objects:/var/lib/hopline", "objects:/var/lib/hopline:ro", f"{MAIN} orders", "no volume is mounted there"),
        (STORE, "file:///tmp/objects", f"{MAIN} report-worker", "OBJECT_STORE_URL=file:///tmp/objects: no volume"),
        (
            '["objects:/var',
            '["redis:/var',
            "infra/compose",
            "reports are at objects:/var/lib/hopline/objects and redis",
        ),
    ],
)
def test_a_planted_mistake_is_found(checkout: Checkout, right: str, wrong: str, place: str, said: str) -> None:
    checkout.spoil(MAIN, right, wrong)
    assert any(finding.place == place and said in finding.wrong for finding in check(checkout.root))
