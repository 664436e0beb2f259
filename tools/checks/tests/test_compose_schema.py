"""The Compose files conform to the schema of the specification."""

from checks.containers.compose_schema import check
from testkit.checkout import Checkout


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


def test_unknown_key_is_found_with_its_place(checkout: Checkout) -> None:
    checkout.corrupt("infra/compose/telemetry.yaml", "    stop_grace_period: 20s\n", "    stop_grace_perod: 20s\n")
    found = list(check(checkout.root))
    assert [finding.place for finding in found] == ["infra/compose/telemetry.yaml"]
    assert "stop_grace_perod" in found[0].problem


def test_invalid_yaml_is_found(checkout: Checkout) -> None:
    checkout.write("infra/compose/hardened.yaml", "services: [\n")
    assert [finding.place for finding in check(checkout.root)] == ["infra/compose/hardened.yaml"]
