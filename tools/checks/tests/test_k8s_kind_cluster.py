"""The ports that kind maps."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from checks.kubernetes.kind_cluster import check_ports
from checks.kubernetes.manifests import Object, Rendering

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


@pytest.fixture
def cluster(root: Path) -> Object:
    configuration: Object = yaml.safe_load((root / "infra/k8s/kind.yaml").read_text())
    return configuration


def test_all_node_ports_are_mapped(rendered: Render, cluster: Object) -> None:
    assert not list(check_ports(cluster, [rendered("kind"), rendered("kind-telemetry")]))
    mapped = {mapping["hostPort"] for mapping in cluster["nodes"][0]["extraPortMappings"]}
    assert mapped == {3000, 8000, 8003, 8025, 9090, 16686}


def test_mistake_is_found(rendered: Render, cluster: Object) -> None:
    mappings = cluster["nodes"][0]["extraPortMappings"]
    first = deepcopy(mappings[0])
    mappings[0]["containerPort"] = 30999
    del mappings[1]["listenAddress"]
    expected = [finding.wrong for finding in check_ports(cluster, [rendered("kind")])]
    assert "port 8003 is open to the network" in expected
    assert "containerPort 30999 is not a node port" in expected
    assert f"nodePort {first['containerPort']} is not mapped to the machine" in expected
