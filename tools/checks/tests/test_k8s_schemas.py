"""Objects conform to the schemas of their kinds."""

from collections.abc import Callable

import pytest

from checks.kubernetes.manifests import Rendering
from checks.kubernetes.schemas import check_schemas

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def test_repository_has_no_findings(rendered: Render) -> None:
    assert not list(check_schemas(rendered("kind", "gateway-api", "ingress", "keda")))
    assert not list(check_schemas(rendered("prod")))


def test_unknown_field_is_found(rendered: Render) -> None:
    overlay = rendered("kind")
    overlay.get("Service", "hopline-users").spec["sessionAffinty"] = "None"
    findings = list(check_schemas(overlay))
    assert all(finding.place.endswith("(Service hopline-users)") for finding in findings)
    assert any("sessionAffinty" in finding.problem for finding in findings)


def test_wrong_type_is_found_with_the_path_of_the_value(rendered: Render) -> None:
    overlay = rendered("kind")
    overlay.get("Deployment", "hopline-users").spec["minReadySeconds"] = "ten"
    assert any("spec.minReadySeconds: 'ten'" in finding.problem for finding in check_schemas(overlay))


def test_every_unknown_field_of_an_object_is_found(rendered: Render) -> None:
    overlay = rendered("kind")
    overlay.get("Namespace", "hopline").body.update({"data": {}, "spec": {"finalisers": []}})
    found = " ".join(finding.problem for finding in check_schemas(overlay))
    assert "data" in found
    assert "finalisers" in found


def test_field_is_found_when_the_oldest_version_does_not_have_it(rendered: Render) -> None:
    overlay = rendered("kind")
    overlay.get("Deployment", "hopline-users").spec["template"]["spec"]["hostnameOverride"] = "users"
    (finding,) = check_schemas(overlay)
    assert "hostnameOverride" in finding.problem


def test_unknown_kind_is_found(rendered: Render) -> None:
    overlay = rendered("kind")
    overlay.get("Service", "redis").body["apiVersion"] = "v2"
    assert any("has no v2 Service" in finding.problem for finding in check_schemas(overlay))


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [
        ("ScaledObject", "hopline-workers", "maxReplicas"),
        ("TriggerAuthentication", "hopline-workers-database", "secretRef"),
        ("HTTPRoute", "hopline", "backends"),
        ("Gateway", "hopline", "class"),
    ],
)
def test_unknown_field_of_a_custom_resource_is_found(rendered: Render, kind: str, name: str, field: str) -> None:
    overlay = rendered("kind", "gateway-api", "ingress", "keda")
    overlay.get(kind, name).spec[field] = "x"
    assert any(field in finding.problem for finding in check_schemas(overlay))


def test_missing_field_of_an_external_secret_is_found(rendered: Render) -> None:
    overlay = rendered("prod")
    del overlay.get("ExternalSecret", "hopline-users").spec["data"][0]["remoteRef"]
    assert any("remoteRef" in finding.problem for finding in check_schemas(overlay))
