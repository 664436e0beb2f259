"""Network policies allow the connections that settings need, and no others."""

from base64 import b64encode
from collections.abc import Callable

import pytest

from checks.kubernetes.manifests import Object, Rendering
from checks.kubernetes.network import check_network

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"


def policy(overlay: Rendering, name: str) -> Object:
    return overlay.get("NetworkPolicy", name).spec


def service_pods(name: str) -> Object:
    return {"podSelector": {"matchLabels": {NAME: name, COMPONENT: "service"}}}


def settings(overlay: Rendering, name: str) -> dict[str, str]:
    (found,) = [config_map for config_map in overlay.of("ConfigMap") if config_map.name.startswith(f"{name}-")]
    data: dict[str, str] = found.body["data"]
    return data


def omit_the_ingress(overlay: Rendering) -> None:
    policy(overlay, "orders")["ingress"][0]["from"] = [service_pods("gateway")]


def omit_the_egress(overlay: Rendering) -> None:
    policy(overlay, "orders")["egress"] = []


def allow_egress_on_another_port(overlay: Rendering) -> None:
    policy(overlay, "to-redis-and-telemetry")["egress"][0]["ports"] = [{"port": 6380}]


def omit_dns(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("NetworkPolicy", "dns"))


def omit_the_default_deny(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("NetworkPolicy", "default-deny"))


def call_an_unknown_service(overlay: Rendering) -> None:
    settings(overlay, "hopline-notifications")["ORDERS_URL"] = "http://hopline-orders:8002"


def call_a_missing_service(overlay: Rendering) -> None:
    settings(overlay, "hopline-gateway")["USERS_URL"] = "http://users:8001"


def call_a_url_without_a_known_port(overlay: Rendering) -> None:
    settings(overlay, "hopline-gateway")["USERS_URL"] = "grpc://hopline-users"


def call_a_wrong_port(overlay: Rendering) -> None:
    settings(overlay, "hopline-gateway")["USERS_URL"] = "http://hopline-users:8000"


def allow_an_unneeded_edge(overlay: Rendering) -> None:
    policy(overlay, "users")["policyTypes"] = ["Ingress", "Egress"]
    policy(overlay, "users")["egress"] = [{"to": [service_pods("orders")], "ports": [{"port": 8002}]}]
    policy(overlay, "orders")["ingress"][0]["from"].append(service_pods("users"))


def exclude_report_workers_from_the_policy(overlay: Rendering) -> None:
    policy(overlay, "workers")["podSelector"]["matchLabels"]["hopline.example/queue"] = "jobs"


def allow_only_the_ingress(overlay: Rendering) -> None:
    policy(overlay, "orders")["ingress"][0]["from"].append(service_pods("notifications"))


def call_a_missing_service_by_a_qualified_name(overlay: Rendering) -> None:
    settings(overlay, "hopline-gateway")["USERS_URL"] = "http://users.hopline:8001"


def omit_egress_to_postgres(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("NetworkPolicy", "to-postgres"))


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (omit_the_ingress, "hopline-workers needs it (ORDERS_URL is hopline-orders:8002), but no ingress policy"),
    (omit_the_egress, "JWKS_URL is hopline-users:8001, but no egress policy allows it"),
    (allow_egress_on_another_port, "REDIS_URL is redis:6379, but no egress policy allows it"),
    (omit_dns, "may not resolve names"),
    (omit_the_default_deny, "no policy selects its pods for ingress"),
    (call_an_unknown_service, "ORDERS_URL is hopline-orders:8002, but no egress policy allows it"),
    (exclude_report_workers_from_the_policy, "ORDERS_URL is hopline-orders:8002, but no egress policy allows it"),
    (call_a_missing_service, "USERS_URL is users:8001, but there is no such Service"),
    (call_a_missing_service_by_a_qualified_name, "USERS_URL is users.hopline:8001, but there is no such Service"),
    (omit_egress_to_postgres, "DATABASE_URL is postgres.hopline:5432, but no egress policy allows it"),
    (call_a_wrong_port, "USERS_URL is hopline-users:8000, but that Service has no such port"),
    (call_a_url_without_a_known_port, "USERS_URL is hopline-users:(no port), but that Service has no such port"),
    (allow_an_unneeded_edge, "hopline-users to hopline-orders, port 8002: allowed, but no setting needs it"),
    (allow_only_the_ingress, "hopline-notifications to hopline-orders, port 8002: ingress is allowed"),
]


@pytest.mark.parametrize(("mutate", "expected"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind")
    assert not list(check_network(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_network(overlay))


@pytest.mark.parametrize(
    ("policy_name", "expected"),
    [
        ("to-collector", "OTEL_EXPORTER_OTLP_ENDPOINT is otel-collector.observability:4318, but no policy"),
        ("to-object-store", "S3_ENDPOINT is s3.eu-central-1.amazonaws.com:443, but no policy"),
        ("to-smtp-relay", "SMTP_HOST is smtp-relay.hopline.example:25, but no policy"),
    ],
)
def test_missing_egress_to_an_external_host_or_namespace_is_found(
    rendered: Render, policy_name: str, expected: str
) -> None:
    overlay = rendered("prod")
    assert not list(check_network(overlay))
    overlay.manifests.remove(overlay.get("NetworkPolicy", policy_name))
    assert any(expected in finding.problem for finding in check_network(overlay))


def set_host_of_the_workers_database(overlay: Rendering, host: str) -> None:
    """Change the host in the database URL that KEDA reads."""
    name = overlay.get("TriggerAuthentication", "hopline-workers-database").spec["secretTargetRef"][0]["name"]
    data = overlay.get("Secret", name).body["data"]
    data["database-url"] = b64encode(f"postgresql://workers:secret@{host}/workers".encode()).decode()


def omit_the_ingress_of_keda(overlay: Rendering) -> None:
    policy(overlay, "postgres")["ingress"][0]["from"].pop()


KEDA_MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (
        lambda overlay: set_host_of_the_workers_database(overlay, "postgres:5432"),
        "which does not resolve in namespace keda",
    ),
    (
        lambda overlay: set_host_of_the_workers_database(overlay, "ledger.hopline:5432"),
        "connection is ledger.hopline:5432, but there is no such Service",
    ),
    (
        lambda overlay: set_host_of_the_workers_database(overlay, "postgres.hopline:6432"),
        "connection is postgres.hopline:6432, but that Service has no such port",
    ),
    (omit_the_ingress_of_keda, "KEDA needs it (connection is postgres.hopline:5432), but no ingress policy"),
]


@pytest.mark.parametrize(("mutate", "expected"), KEDA_MISTAKES)
def test_mistake_in_the_edge_from_keda_to_its_database_is_found(
    rendered: Render, mutate: Callable[[Rendering], None], expected: str
) -> None:
    overlay = rendered("kind", "keda")
    assert not list(check_network(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_network(overlay))


@pytest.mark.parametrize("url", ["redis://redis", "rediss://redis/0"])
def test_edge_has_the_port_of_the_scheme_when_the_address_has_none(rendered: Render, url: str) -> None:
    overlay = rendered("kind")
    settings(overlay, "hopline-gateway")["CACHE_URL"] = url
    assert not list(check_network(overlay))


def omit_the_ingress_of_loki(overlay: Rendering) -> None:
    policy(overlay, "loki")["ingress"][0]["from"].pop(0)


def omit_the_ingress_of_the_collector(overlay: Rendering) -> None:
    policy(overlay, "collector")["ingress"].pop(0)


def omit_the_service(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("Service", "prometheus"))


def allow_ingress_past_the_collector(overlay: Rendering) -> None:
    all_services = {"podSelector": {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["service"]}]}}
    policy(overlay, "jaeger")["ingress"][0]["from"].append(all_services)


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [
        (omit_the_ingress_of_loki, "collector needs it (config.yaml is loki:3100), but no ingress policy allows it"),
        (omit_the_ingress_of_the_collector, "OTEL_EXPORTER_OTLP_ENDPOINT is collector:4318), but no ingress policy"),
        (omit_the_service, "datasources.yaml is prometheus:9090, but there is no such Service"),
        (allow_ingress_past_the_collector, "hopline-users to jaeger, port 4318: ingress is allowed"),
    ],
)
def test_mistake_in_an_edge_from_a_configuration_of_telemetry_is_found(
    rendered: Render, mutate: Callable[[Rendering], None], expected: str
) -> None:
    overlay = rendered("kind-telemetry")
    assert not list(check_network(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_network(overlay))
