"""Selectors and ports of Services, policies and scalers match pods."""

from collections.abc import Callable

import pytest

from checks.kubernetes.manifests import Object, Rendering, selects
from checks.kubernetes.selectors import check_selectors

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

NAME = "app.kubernetes.io/name"


def spec(overlay: Rendering, kind: str, name: str) -> Object:
    return overlay.get(kind, name).spec


def let_deployment_match_other_pods(overlay: Rendering) -> None:
    spec(overlay, "Deployment", "hopline-users")["selector"]["matchLabels"][NAME] = "orders"


def let_deployment_match_the_migration(overlay: Rendering) -> None:
    del spec(overlay, "Deployment", "hopline-users")["selector"]["matchLabels"]["app.kubernetes.io/component"]


def let_service_match_no_pod(overlay: Rendering) -> None:
    spec(overlay, "Service", "hopline-users")["selector"][NAME] = "accounts"


def let_service_match_the_migration(overlay: Rendering) -> None:
    del spec(overlay, "Service", "hopline-users")["selector"]["app.kubernetes.io/component"]


def forward_to_a_missing_port(overlay: Rendering) -> None:
    spec(overlay, "Service", "hopline-users")["ports"][0]["targetPort"] = "web"


def let_disruption_budget_match_no_pod(overlay: Rendering) -> None:
    spec(overlay, "PodDisruptionBudget", "hopline-users")["selector"]["matchLabels"][NAME] = "accounts"


def probe_a_missing_port(overlay: Rendering) -> None:
    container = spec(overlay, "Deployment", "hopline-users")["template"]["spec"]["containers"][0]
    container["readinessProbe"]["httpGet"]["port"] = 8000


def listen_on_another_port(overlay: Rendering) -> None:
    config_map = next(
        config_map for config_map in overlay.of("ConfigMap") if config_map.name.startswith("hopline-orders-")
    )
    config_map.body["data"]["PORT"] = "8000"


def let_spread_constraint_match_other_pods(overlay: Rendering) -> None:
    pod = spec(overlay, "Deployment", "hopline-users")["template"]["spec"]
    pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"][NAME] = "orders"


def let_network_policy_match_no_pod(overlay: Rendering) -> None:
    spec(overlay, "NetworkPolicy", "users")["podSelector"]["matchLabels"][NAME] = "accounts"


def let_ingress_rule_match_no_pod(overlay: Rendering) -> None:
    peers = spec(overlay, "NetworkPolicy", "users")["ingress"][0]["from"]
    peers[0]["podSelector"]["matchLabels"][NAME] = "front"


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (let_deployment_match_other_pods, "does not match its own pods"),
    (let_deployment_match_the_migration, "its selector also matches pods of hopline-migrate-users"),
    (let_service_match_no_pod, "matches the pods of no workload"),
    (let_service_match_the_migration, "matches the pods of hopline-users, hopline-migrate-users"),
    (forward_to_a_missing_port, "pods of hopline-users have no port web"),
    (let_disruption_budget_match_no_pod, "matches the pods of no workload"),
    (probe_a_missing_port, "readinessProbe uses port 8000"),
    (listen_on_another_port, "PORT=8000, but its container port http is 8002"),
    (let_spread_constraint_match_other_pods, "does not count its own pods"),
    (let_network_policy_match_no_pod, "no pod has the labels"),
    (let_ingress_rule_match_no_pod, f"{NAME}=front"),
]


@pytest.mark.parametrize(("mutate", "expected"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind")
    assert not list(check_selectors(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_selectors(overlay))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        (None, False),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "1", "b": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_selector_matches_as_in_kubernetes(selector: Object | None, expected: bool) -> None:
    assert selects(selector, {"a": "1"}) is expected
