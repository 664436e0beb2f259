"""kind maps exactly the node ports of the kind overlays, on loopback addresses only."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from checks.findings import Finding
from checks.kubernetes.manifests import Object, Rendering
from checks.kubernetes.rendering import FOLDER, renderings

OVERLAYS = ("overlays/kind", "overlays/kind-telemetry")

_FILE = FOLDER / "kind.yaml"


def check_kind_cluster(root: Path) -> Iterator[Finding]:
    """Compare `kind.yaml` with the kind overlays, if they render."""
    cluster = yaml.safe_load((root / _FILE).read_text())
    overlays = [rendering for rendering in renderings(root)[0] if rendering.name in OVERLAYS]
    if len(overlays) == len(OVERLAYS):
        yield from check_ports(cluster, overlays)


def check_ports(cluster: Object, overlays: Iterable[Rendering]) -> Iterator[Finding]:
    """Report mapped ports without a node port, node ports that are not mapped, and ports open to the network."""
    mapped = [mapping for node in cluster["nodes"] for mapping in node.get("extraPortMappings", [])]
    for mapping in mapped:
        if mapping.get("listenAddress") != "127.0.0.1":
            yield Finding(str(_FILE), f"port {mapping['hostPort']} is open to the network", "listen on 127.0.0.1")
    reached = {mapping["containerPort"] for mapping in mapped}
    entrances = {
        port["nodePort"]: service
        for overlay in overlays
        for service in overlay.of("Service")
        for port in service.spec["ports"]
        if "nodePort" in port
    }
    for number in reached - entrances.keys():
        yield Finding(str(_FILE), f"containerPort {number} is not a node port", "correct it, or add the Service")
    for number in entrances.keys() - reached:
        yield Finding(entrances[number].place, f"nodePort {number} is not mapped to the machine", f"map it in {_FILE}")
