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


def without(overlay: Rendering, kind: str, name: str) -> None:
    overlay.manifests.remove(overlay.get(kind, name))


def lose_a_config_map(overlay: Rendering) -> None:
    pod(overlay, "hopline-users")["containers"][0]["envFrom"][0]["configMapRef"]["name"] = "hopline-comon"


def lose_a_secret(overlay: Rendering) -> None:
    pod(overlay, "hopline-gateway")["volumes"][0]["secret"]["secretName"] = "set-by-the-instance"


def ask_for_a_missing_key(overlay: Rendering) -> None:
    pod(overlay, "hopline-orders")["volumes"][0]["secret"]["items"] = [{"key": "database_url", "path": "database-url"}]


def point_at_a_missing_file(overlay: Rendering) -> None:
    container = pod(overlay, "hopline-orders")["containers"][0]
    container["env"].append({"name": "SIGNING_KEY_FILE", "value": "/run/secrets/hopline/signing-key"})


def point_outside_the_mounts(overlay: Rendering) -> None:
    container = pod(overlay, "hopline-orders")["containers"][0]
    container["env"].append({"name": "SIGNING_KEY_FILE", "value": "/etc/keys/signing-key"})


def lose_the_account(overlay: Rendering) -> None:
    without(overlay, "ServiceAccount", "hopline-users")


def lose_the_stateful_service(overlay: Rendering) -> None:
    without(overlay, "Service", "postgres")


def lose_the_trigger_authentication(overlay: Rendering) -> None:
    without(overlay, "TriggerAuthentication", "hopline-ledger")


def ask_keda_for_a_missing_key(overlay: Rendering) -> None:
    overlay.get("TriggerAuthentication", "hopline-ledger").spec["secretTargetRef"][0]["key"] = "dsn"


def route_to_a_missing_service(overlay: Rendering) -> None:
    overlay.get("HTTPRoute", "hopline").spec["rules"][0]["backendRefs"][0]["name"] = "notifications"


def route_to_a_missing_port(overlay: Rendering) -> None:
    overlay.get("HTTPRoute", "hopline").spec["rules"][1]["backendRefs"][0]["port"] = 80


def route_through_a_missing_listener(overlay: Rendering) -> None:
    overlay.get("HTTPRoute", "hopline").spec["parentRefs"][0]["sectionName"] = "tls"


def send_to_a_missing_port(overlay: Rendering) -> None:
    path = overlay.get("Ingress", "hopline").spec["rules"][0]["http"]["paths"][0]
    path["backend"]["service"]["port"] = {"name": "ws"}


def generate_an_unused_config_map(overlay: Rendering) -> None:
    pod(overlay, "jaeger")["volumes"] = []


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (lose_a_config_map, "needs ConfigMap hopline-comon, which does not exist"),
    (lose_a_secret, "needs Secret set-by-the-instance, which does not exist"),
    (ask_for_a_missing_key, "has no key database_url"),
    (point_at_a_missing_file, "has no key signing-key"),
    (point_outside_the_mounts, "SIGNING_KEY_FILE=/etc/keys/signing-key: no Secret is mounted there"),
    (lose_the_account, "ServiceAccount hopline-users, which does not exist"),
    (lose_the_stateful_service, "there is no Service postgres"),
    (lose_the_trigger_authentication, "there is no TriggerAuthentication hopline-ledger"),
    (ask_keda_for_a_missing_key, "has no key dsn"),
    (route_to_a_missing_service, "sends to Service notifications, which does not exist"),
    (route_to_a_missing_port, "Service hopline-gateway has no port 80"),
    (route_through_a_missing_listener, "Gateway hopline has no listener tls"),
    (send_to_a_missing_port, "Service hopline-notifications has no port ws"),
    (generate_an_unused_config_map, "nothing uses it"),
]


@pytest.mark.parametrize(("mutate", "expected"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind", "gateway-api", "ingress", "keda")
    assert not list(check_references(overlay))
    mutate(overlay)
    assert any(expected in finding.wrong for finding in check_references(overlay))


def test_external_secret_has_its_keys(rendered: Render) -> None:
    overlay = rendered("prod")
    assert not list(check_references(overlay))
    overlay.get("ExternalSecret", "hopline-users").spec["data"].pop(0)
    assert any("has no key database-url" in finding.wrong for finding in check_references(overlay))


def test_telemetry_reads_the_files_that_compose_mounts(rendered: Render, root: Path) -> None:
    overlay = rendered("kind-telemetry")
    assert not list(check_references(overlay))
    generated = {name: text for config_map in overlay.of("ConfigMap") for name, text in config_map.body["data"].items()}
    for file in ("prometheus/prometheus.yaml", "prometheus/rules/hopline.yaml", "jaeger/ui.js"):
        assert generated[file.rpartition("/")[2]] == (root / "infra" / file).read_text()
    dashboards = {path.name for path in (root / "infra/grafana/dashboards").iterdir()}
    rules = {path.name for path in (root / "infra/prometheus/rules").iterdir()}
    assert dashboards | rules <= generated.keys()
