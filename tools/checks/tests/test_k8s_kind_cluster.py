"""The port mappings of the kind cluster."""

import shutil
from collections.abc import Callable
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
    """The configuration of the cluster, which the test may change."""
    configuration: Object = yaml.safe_load((root / "infra/k8s/kind.yaml").read_text())
    return configuration


@pytest.fixture
def kind_overlays(root: Path, tmp_path: Path, require: Callable[[Program], None]) -> Checkout:
    """A copy of the manifests with only the kind overlays and the components that they list, to render less."""
    require(KUBECTL)
    checkout = Checkout.of(root, map(str, (FOLDER, *TELEMETRY)), into=tmp_path)
    shutil.rmtree(tmp_path / FOLDER / "overlays/prod")
    for component in ("gateway-api", "ingress", "keda", "pgbouncer"):
        shutil.rmtree(tmp_path / FOLDER / "components" / component)
    return checkout


def test_every_node_port_is_mapped_in_the_repository(rendered: Render, cluster: Object) -> None:
    assert not list(check_ports(cluster, [rendered("kind"), rendered("kind-telemetry")]))
    mapped = {mapping["hostPort"] for mapping in cluster["nodes"][0]["extraPortMappings"]}
    assert mapped == {3000, 8000, 8003, 8025, 9090, 16686}


def test_wrong_mapping_is_found(rendered: Render, cluster: Object) -> None:
    mappings = cluster["nodes"][0]["extraPortMappings"]
    unmapped = mappings[0]["containerPort"]
    mappings[0]["containerPort"] = 30999
    del mappings[1]["listenAddress"]
    found = [finding.problem for finding in check_ports(cluster, [rendered("kind")])]
    assert "port 8003 is open to the network" in found
    assert "containerPort 30999 is not a node port" in found
    assert f"nodePort {unmapped} is not mapped to a host port" in found


def test_mapping_is_found_when_no_overlay_has_its_node_port(kind_overlays: Checkout) -> None:
    assert not list(check_kind_cluster(kind_overlays.root))
    kind_overlays.corrupt("infra/k8s/kind.yaml", "containerPort: 30800", "containerPort: 30999")
    found = {finding.problem for finding in check_kind_cluster(kind_overlays.root)}
    assert found == {"containerPort 30999 is not a node port", "nodePort 30800 is not mapped to a host port"}


def test_overlay_is_found_when_it_has_no_rendering(kind_overlays: Checkout) -> None:
    shutil.rmtree(kind_overlays.root / "infra/k8s/overlays/kind-telemetry")
    [finding] = check_kind_cluster(kind_overlays.root)
    assert finding.place == "infra/k8s/overlays/kind-telemetry"
    assert "has no rendering" in finding.problem
