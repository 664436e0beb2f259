"""Elements of lists in manifests contain the defaults that the server would add."""

from collections.abc import Callable

import pytest

from checks.kubernetes.defaults import check_defaults
from checks.kubernetes.manifests import Rendering

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def omit_the_protocol(overlay: Rendering) -> None:
    del overlay.get("NetworkPolicy", "users").spec["ingress"][0]["ports"][0]["protocol"]


def omit_the_mode_of_a_volume(overlay: Rendering) -> None:
    del overlay.get("StatefulSet", "postgres").spec["volumeClaimTemplates"][0]["spec"]["volumeMode"]


def omit_the_kind_of_a_claim(overlay: Rendering) -> None:
    del overlay.get("StatefulSet", "postgres").spec["volumeClaimTemplates"][0]["kind"]


def omit_the_weight(overlay: Rendering) -> None:
    del overlay.get("HTTPRoute", "hopline").spec["rules"][0]["backendRefs"][0]["weight"]


def omit_the_parents_kind(overlay: Rendering) -> None:
    del overlay.get("HTTPRoute", "hopline-to-https").spec["parentRefs"][0]["kind"]


def omit_the_group_of_a_certificate(overlay: Rendering) -> None:
    del overlay.get("Gateway", "hopline").spec["listeners"][1]["tls"]["certificateRefs"][0]["group"]


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (omit_the_protocol, "spec.ingress[].ports[] changed: the server adds protocol"),
    (omit_the_mode_of_a_volume, "spec.volumeClaimTemplates[].spec changed: the server adds volumeMode"),
    (omit_the_kind_of_a_claim, "spec.volumeClaimTemplates[] changed: the server adds kind"),
    (omit_the_weight, "spec.rules[].backendRefs[] changed: the server adds weight"),
    (omit_the_parents_kind, "spec.parentRefs[] changed: the server adds kind"),
    (omit_the_group_of_a_certificate, "certificateRefs[] changed: the server adds group"),
]


@pytest.mark.parametrize(("mutate", "expected"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind", "gateway-api", "ingress", "keda")
    assert not list(check_defaults(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_defaults(overlay))


def test_missing_default_of_an_external_secret_is_found(rendered: Render) -> None:
    overlay = rendered("prod")
    assert not list(check_defaults(overlay))
    del overlay.get("ExternalSecret", "hopline-users").spec["data"][0]["remoteRef"]["conversionStrategy"]
    assert [finding.fix for finding in check_defaults(overlay)] == ["write conversionStrategy: Default"]
