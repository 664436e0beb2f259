"""The ports that kind maps."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from checks.kubernetes.kind_cluster import check_kind_cluster, check_ports
from checks.kubernetes.manifests import Object, Rendering
from checks.kubernetes.rendering import FOLDER, KUBECTL, TELEMETRY
from checks.programs import Program
from testkit.checkout import Checkout

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


@pytest.fixture
def cluster(root: Path) -> Object:
    configuration: Object = yaml.safe_load((root / "infra/k8s/kind.yaml").read_text())
    return configuration


@pytest.fixture
def kind_overlays(root: Path, tmp_path: Path, has: Callable[[Program], None]) -> Checkout:
    """A copy of the manifests with only the kind overlays and the components that they list."""
    has(KUBECTL)
    checkout = Checkout.of(root, map(str, (FOLDER, *TELEMETRY)), into=tmp_path)
    shutil.rmtree(tmp_path / FOLDER / "overlays/prod")
    for component in ("gateway-api", "ingress", "keda", "pgbouncer"):
        shutil.rmtree(tmp_path / FOLDER / "components" / component)
    return checkout


def test_all_node_ports_are_mapped(rendered: Render, cluster: Object) -> None:
    assert not list(check_ports(cluster, [rendered("kind"), rendered("kind-telemetry")]))
    mapped = {mapping["hostPort"] for mapping in cluster["nodes"][0]["extraPortMappings"]}
    assert mapped == {3000, 8000, 8003, 8025, 9090, 16686}


def test_mistake_is_found(rendered: Render, cluster: Object) -> None:
    mappings = cluster["nodes"][0]["extraPortMappings"]
    first = deepcopy(mappings[0])
    mappings[0]["containerPort"] = 30999
    del mappings[1]["listenAddress"]
    found = [finding.wrong for finding in check_ports(cluster, [rendered("kind")])]
    assert "port 8003 is open to the network" in found
    assert "containerPort 30999 is not a node port" in found
    assert f"nodePort {first['containerPort']} is not mapped to a host port" in found


def test_kind_overlays_of_the_checkout_are_compared(kind_overlays: Checkout) -> None:
    assert not list(check_kind_cluster(kind_overlays.root))


def test_mapping_is_compared_with_the_rendered_overlays(kind_overlays: Checkout) -> None:
    kind_overlays.corrupt("infra/k8s/kind.yaml", "containerPort: 30800", "containerPort: 30999")
    found = {finding.wrong for finding in check_kind_cluster(kind_overlays.root)}
    assert found == {"containerPort 30999 is not a node port", "nodePort 30800 is not mapped to a host port"}


def test_overlay_without_a_rendering_is_found(kind_overlays: Checkout) -> None:
    shutil.rmtree(kind_overlays.root / "infra/k8s/overlays/kind-telemetry")
    [finding] = check_kind_cluster(kind_overlays.root)
    assert finding.place == "infra/k8s/overlays/kind-telemetry"
    assert "has no rendering" in finding.wrong
