"""Manifests refer only to objects and keys that exist."""

from collections.abc import Callable
from pathlib import Path

import pytest

from checks.kubernetes.manifests import Object, Rendering
from checks.kubernetes.references import check_references

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def pod(overlay: Rendering, name: str) -> Object:
    spec: Object = overlay.get("Deployment", name).spec["template"]["spec"]
    return spec


def remove(overlay: Rendering, kind: str, name: str) -> None:
    overlay.manifests.remove(overlay.get(kind, name))


def name_a_missing_config_map(overlay: Rendering) -> None:
    pod(overlay, "hopline-users")["containers"][0]["envFrom"][0]["configMapRef"]["name"] = "hopline-comon"


def mount_a_missing_secret(overlay: Rendering) -> None:
    pod(overlay, "hopline-gateway")["volumes"][0]["secret"]["secretName"] = "hopline-missing"


def mount_a_missing_key(overlay: Rendering) -> None:
    pod(overlay, "hopline-orders")["volumes"][0]["secret"]["items"] = [{"key": "database_url", "path": "database-url"}]


def name_a_missing_file(overlay: Rendering) -> None:
    container = pod(overlay, "hopline-orders")["containers"][0]
    container["env"].append({"name": "SIGNING_KEY_FILE", "value": "/run/secrets/hopline/signing-key"})


def name_a_file_outside_the_mounts(overlay: Rendering) -> None:
    container = pod(overlay, "hopline-orders")["containers"][0]
    container["env"].append({"name": "SIGNING_KEY_FILE", "value": "/etc/keys/signing-key"})


def omit_the_service_account(overlay: Rendering) -> None:
    remove(overlay, "ServiceAccount", "hopline-users")


def omit_the_service_of_postgres(overlay: Rendering) -> None:
    remove(overlay, "Service", "postgres")


def omit_the_trigger_authentication(overlay: Rendering) -> None:
    remove(overlay, "TriggerAuthentication", "hopline-workers-database")


def name_a_missing_key_for_keda(overlay: Rendering) -> None:
    overlay.get("TriggerAuthentication", "hopline-workers-database").spec["secretTargetRef"][0]["key"] = "dsn"


def route_to_a_missing_service(overlay: Rendering) -> None:
    overlay.get("HTTPRoute", "hopline").spec["rules"][0]["backendRefs"][0]["name"] = "notifications"


def route_to_a_missing_port(overlay: Rendering) -> None:
    overlay.get("HTTPRoute", "hopline").spec["rules"][1]["backendRefs"][0]["port"] = 80


def omit_the_gateway(overlay: Rendering) -> None:
    remove(overlay, "Gateway", "hopline")


def route_through_a_missing_listener(overlay: Rendering) -> None:
    overlay.get("HTTPRoute", "hopline").spec["parentRefs"][0]["sectionName"] = "tls"


def send_to_a_missing_port(overlay: Rendering) -> None:
    path = overlay.get("Ingress", "hopline").spec["rules"][0]["http"]["paths"][0]
    path["backend"]["service"]["port"] = {"name": "ws"}


def generate_an_unused_config_map(overlay: Rendering) -> None:
    pod(overlay, "jaeger")["volumes"] = []


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (name_a_missing_config_map, "needs ConfigMap hopline-comon, which does not exist"),
    (mount_a_missing_secret, "needs Secret hopline-missing, which does not exist"),
    (mount_a_missing_key, "has no key database_url"),
    (name_a_missing_file, "has no key signing-key"),
    (name_a_file_outside_the_mounts, "SIGNING_KEY_FILE=/etc/keys/signing-key: no Secret is mounted there"),
    (omit_the_service_account, "ServiceAccount hopline-users, which does not exist"),
    (omit_the_service_of_postgres, "there is no Service postgres"),
    (omit_the_trigger_authentication, "there is no TriggerAuthentication hopline-workers-database"),
    (name_a_missing_key_for_keda, "has no key dsn"),
    (route_to_a_missing_service, "sends to Service notifications, which does not exist"),
    (route_to_a_missing_port, "Service hopline-gateway has no port 80"),
    (omit_the_gateway, "there is no Gateway hopline"),
    (route_through_a_missing_listener, "Gateway hopline has no listener tls"),
    (send_to_a_missing_port, "Service hopline-notifications has no port ws"),
    (generate_an_unused_config_map, "nothing uses it"),
]


@pytest.mark.parametrize(("mutate", "expected"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind", "gateway-api", "ingress", "keda")
    assert not list(check_references(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_references(overlay))


def test_key_is_found_when_the_external_secret_does_not_contain_it(rendered: Render) -> None:
    overlay = rendered("prod")
    assert not list(check_references(overlay))
    overlay.get("ExternalSecret", "hopline-users").spec["data"].pop(0)
    assert any("has no key database-url" in finding.problem for finding in check_references(overlay))


def test_telemetry_of_kind_reads_the_files_that_compose_mounts(rendered: Render, root: Path) -> None:
    overlay = rendered("kind-telemetry")
    assert not list(check_references(overlay))
    generated_files = {
        name: text for config_map in overlay.of("ConfigMap") for name, text in config_map.body["data"].items()
    }
    for file in ("prometheus/prometheus.yaml", "prometheus/rules/hopline.yaml", "jaeger/ui.js"):
        assert generated_files[file.rpartition("/")[2]] == (root / "infra" / file).read_text()
    dashboards = {path.name for path in (root / "infra/grafana/dashboards").iterdir()}
    rules = {path.name for path in (root / "infra/prometheus/rules").iterdir()}
    assert dashboards | rules <= generated_files.keys()
