"""The edges of the network."""

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


def pods(name: str) -> Object:
    return {"podSelector": {"matchLabels": {NAME: name, COMPONENT: "service"}}}


def settings(overlay: Rendering, name: str) -> dict[str, str]:
    (found,) = [each for each in overlay.of("ConfigMap") if each.name.startswith(f"{name}-")]
    data: dict[str, str] = found.body["data"]
    return data


def forget_to_let_in(overlay: Rendering) -> None:
    policy(overlay, "orders")["ingress"][0]["from"] = [pods("gateway")]


def forget_to_let_out(overlay: Rendering) -> None:
    policy(overlay, "orders")["egress"] = []


def let_out_on_another_port(overlay: Rendering) -> None:
    policy(overlay, "to-redis-and-telemetry")["egress"][0]["ports"] = [{"port": 6380}]


def forget_names(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("NetworkPolicy", "dns"))


def forget_to_deny(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("NetworkPolicy", "default-deny"))


def call_somebody_new(overlay: Rendering) -> None:
    settings(overlay, "hopline-notifications")["ORDERS_URL"] = "http://hopline-orders:8002"


def call_nobody(overlay: Rendering) -> None:
    settings(overlay, "hopline-gateway")["USERS_URL"] = "http://users:8001"


def call_a_wrong_port(overlay: Rendering) -> None:
    settings(overlay, "hopline-gateway")["USERS_URL"] = "http://hopline-users:8000"


def allow_what_nobody_needs(overlay: Rendering) -> None:
    policy(overlay, "users")["policyTypes"] = ["Ingress", "Egress"]
    policy(overlay, "users")["egress"] = [{"to": [pods("orders")], "ports": [{"port": 8002}]}]
    policy(overlay, "orders")["ingress"][0]["from"].append(pods("users"))


def let_reports_call_nobody(overlay: Rendering) -> None:
    policy(overlay, "workers")["podSelector"]["matchLabels"]["hopline.example/queue"] = "jobs"


def let_in_who_may_not_go_out(overlay: Rendering) -> None:
    policy(overlay, "orders")["ingress"][0]["from"].append(pods("notifications"))


def call_nobody_by_a_qualified_name(overlay: Rendering) -> None:
    settings(overlay, "hopline-gateway")["USERS_URL"] = "http://users.hopline:8001"


def lock_postgres_up(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("NetworkPolicy", "to-postgres"))


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (forget_to_let_in, "hopline-workers needs it (ORDERS_URL leads to hopline-orders:8002), but no ingress policy"),
    (forget_to_let_out, "JWKS_URL leads to hopline-users:8001, but no egress policy lets it there"),
    (let_out_on_another_port, "REDIS_URL leads to redis:6379, but no egress policy lets it there"),
    (forget_names, "may not ask for names"),
    (forget_to_deny, "no policy rules its ingress"),
    (call_somebody_new, "ORDERS_URL leads to hopline-orders:8002, but no egress policy lets it there"),
    (let_reports_call_nobody, "ORDERS_URL leads to hopline-orders:8002, but no egress policy lets it there"),
    (call_nobody, "USERS_URL leads to users:8001, but there is no such Service"),
    (call_nobody_by_a_qualified_name, "USERS_URL leads to users.hopline:8001, but there is no such Service"),
    (lock_postgres_up, "DATABASE_URL leads to postgres.hopline:5432, but no egress policy lets it there"),
    (call_a_wrong_port, "USERS_URL leads to hopline-users:8000, but that Service has no such port"),
    (allow_what_nobody_needs, "hopline-users to hopline-orders, port 8002: allowed, but no setting leads there"),
    (let_in_who_may_not_go_out, "hopline-notifications to hopline-orders, port 8002: it would be let in"),
]


@pytest.mark.parametrize(("plant", "said"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mistake_is_found(rendered: Render, plant: Callable[[Rendering], None], said: str) -> None:
    overlay = rendered("kind")
    assert not list(check_network(overlay))
    plant(overlay)
    assert any(said in finding.wrong for finding in check_network(overlay))


@pytest.mark.parametrize(
    ("dropped", "said"),
    [
        ("to-collector", "OTEL_EXPORTER_OTLP_ENDPOINT leads to otel-collector.observability:4318, but no policy"),
        ("to-object-store", "S3_ENDPOINT leads to s3.eu-central-1.amazonaws.com:443, but no policy"),
        ("to-smtp-relay", "SMTP_HOST leads to smtp-relay.hopline.example:25, but no policy"),
    ],
)
def test_ways_out_of_the_namespace_are_held_too(rendered: Render, dropped: str, said: str) -> None:
    overlay = rendered("prod")
    assert not list(check_network(overlay))
    overlay.manifests.remove(overlay.get("NetworkPolicy", dropped))
    assert any(said in finding.wrong for finding in check_network(overlay))


def ledger(overlay: Rendering, host: str) -> None:
    """Give KEDA another host in the URL of the workers' database."""
    name = overlay.get("TriggerAuthentication", "hopline-ledger").spec["secretTargetRef"][0]["name"]
    data = overlay.get("Secret", name).body["data"]
    data["database-url"] = b64encode(f"postgresql://workers:secret@{host}/workers".encode()).decode()


def let_keda_in_nowhere(overlay: Rendering) -> None:
    policy(overlay, "postgres")["ingress"][0]["from"].pop()


KEDAS_MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (lambda overlay: ledger(overlay, "postgres:5432"), "which does not resolve in namespace keda"),
    (lambda overlay: ledger(overlay, "ledger.hopline:5432"), "ledger.hopline:5432, but there is no such Service"),
    (let_keda_in_nowhere, "KEDA needs it (connection leads to postgres.hopline:5432), but no ingress policy"),
]


@pytest.mark.parametrize(("plant", "said"), KEDAS_MISTAKES)
def test_keda_reaches_the_ledger_from_its_own_namespace(
    rendered: Render, plant: Callable[[Rendering], None], said: str
) -> None:
    overlay = rendered("kind", "keda")
    assert not list(check_network(overlay))
    plant(overlay)
    assert any(said in finding.wrong for finding in check_network(overlay))


def lose_the_way_to_loki(overlay: Rendering) -> None:
    policy(overlay, "loki")["ingress"][0]["from"].pop(0)


def lose_the_way_of_the_processes(overlay: Rendering) -> None:
    policy(overlay, "collector")["ingress"].pop(0)


def lose_the_service(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("Service", "prometheus"))


def leave_the_way_around_the_collector(overlay: Rendering) -> None:
    everybody = {"podSelector": {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["service"]}]}}
    policy(overlay, "jaeger")["ingress"][0]["from"].append(everybody)


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lose_the_way_to_loki, "collector needs it (config.yaml leads to loki:3100), but no ingress policy lets it in"),
        (lose_the_way_of_the_processes, "OTEL_EXPORTER_OTLP_ENDPOINT leads to collector:4318), but no ingress policy"),
        (lose_the_service, "datasources.yaml leads to prometheus:9090, but there is no such Service"),
        (leave_the_way_around_the_collector, "hopline-users to jaeger, port 4318: it would be let in"),
    ],
)
def test_the_edges_of_the_telemetry_are_those_of_its_configurations(
    rendered: Render, plant: Callable[[Rendering], None], said: str
) -> None:
    overlay = rendered("kind-telemetry")
    assert not list(check_network(overlay))
    plant(overlay)
    assert any(said in finding.wrong for finding in check_network(overlay))
