"""The number of connections that docs/deploy.md asks of Postgres is the one that the manifests add up to."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.kubernetes.manifests import Manifest, Rendering
from shared.settings import DatabaseSettings

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

DEDICATED = {"hopline-users": 1, "hopline-orders": 1}
"""What a process opens beside its pool: the relay's own connection."""


def most_pods(overlay: Rendering, deployment: Manifest) -> int:
    """The most there may be at once: the scaler's limit, and a rollout's surge."""
    scalers = [
        scaler.spec.get("maxReplicas") or scaler.spec["maxReplicaCount"]
        for scaler in overlay.of("HorizontalPodAutoscaler", "ScaledObject")
        if scaler.spec["scaleTargetRef"]["name"] == deployment.name
    ]
    replicas = int(scalers[0] if scalers else deployment.spec["replicas"])
    surge = int(deployment.spec["strategy"]["rollingUpdate"]["maxSurge"].removesuffix("%")) / 100
    return replicas + math.ceil(replicas * surge)


def needed(overlay: Rendering) -> int:
    """The connections that all pods may open at once."""
    defaults = {name: field.default for name, field in DatabaseSettings.model_fields.items()}
    pool = defaults["database_pool_size"] + defaults["database_max_overflow"]
    clients = [
        each
        for each in overlay.of("Deployment")
        if "hopline.example/postgres" in each.spec["template"]["metadata"]["labels"]
    ]
    assert len(clients) == 5
    total = sum(most_pods(overlay, each) * (pool + DEDICATED.get(each.name, 0)) for each in clients)
    return int(total + len(list(overlay.of("Job"))) + defaults["database_reserve"])


@pytest.mark.parametrize("components", [(), ("keda",)], ids=["fixed workers", "KEDA"])
def test_the_figure_in_the_docs_is_the_sum(rendered: Render, root: Path, components: tuple[str, ...]) -> None:
    assert f"**{needed(rendered('prod', *components))}**" in (root / "docs/deploy.md").read_text()


def test_the_postgres_in_kind_allows_what_its_pods_may_open(rendered: Render) -> None:
    overlay = rendered("kind")
    [arguments] = [
        container["args"] for container in overlay.get("StatefulSet", "postgres").spec["template"]["spec"]["containers"]
    ]
    [allowed] = [argument for argument in arguments if argument.startswith("max_connections=")]
    assert needed(overlay) <= int(allowed.removeprefix("max_connections="))
