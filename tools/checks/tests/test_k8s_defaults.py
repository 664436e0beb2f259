"""Manifests contain the default fields that the server would add to elements of lists."""

from collections.abc import Callable

import pytest

from checks.kubernetes.defaults import check_defaults
from checks.kubernetes.manifests import Rendering

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def leave_the_protocol_out(overlay: Rendering) -> None:
    del overlay.get("NetworkPolicy", "users").spec["ingress"][0]["ports"][0]["protocol"]


def leave_the_mode_of_a_volume_out(overlay: Rendering) -> None:
    del overlay.get("StatefulSet", "postgres").spec["volumeClaimTemplates"][0]["spec"]["volumeMode"]


def leave_the_kind_of_a_claim_out(overlay: Rendering) -> None:
    del overlay.get("StatefulSet", "postgres").spec["volumeClaimTemplates"][0]["kind"]


def leave_the_weight_out(overlay: Rendering) -> None:
    del overlay.get("HTTPRoute", "hopline").spec["rules"][0]["backendRefs"][0]["weight"]


def leave_the_parents_kind_out(overlay: Rendering) -> None:
    del overlay.get("HTTPRoute", "hopline-to-https").spec["parentRefs"][0]["kind"]


def leave_the_group_of_a_certificate_out(overlay: Rendering) -> None:
    del overlay.get("Gateway", "hopline").spec["listeners"][1]["tls"]["certificateRefs"][0]["group"]


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (leave_the_protocol_out, "spec.ingress[].ports[] changed: the server adds protocol"),
    (leave_the_mode_of_a_volume_out, "spec.volumeClaimTemplates[].spec changed: the server adds volumeMode"),
    (leave_the_kind_of_a_claim_out, "spec.volumeClaimTemplates[] changed: the server adds kind"),
    (leave_the_weight_out, "spec.rules[].backendRefs[] changed: the server adds weight"),
    (leave_the_parents_kind_out, "spec.parentRefs[] changed: the server adds kind"),
    (leave_the_group_of_a_certificate_out, "certificateRefs[] changed: the server adds group"),
]


@pytest.mark.parametrize(("mutate", "expected"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind", "gateway-api", "ingress", "keda")
    assert not list(check_defaults(overlay))
    mutate(overlay)
    assert any(expected in finding.wrong for finding in check_defaults(overlay))


def test_external_secrets_contain_the_defaults(rendered: Render) -> None:
    overlay = rendered("prod")
    assert not list(check_defaults(overlay))
    del overlay.get("ExternalSecret", "hopline-users").spec["data"][0]["remoteRef"]["conversionStrategy"]
    assert [finding.fix for finding in check_defaults(overlay)] == ["write conversionStrategy: Default"]
