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
    """Compare `kind.yaml` with the kind overlays. Report an overlay without a rendering instead."""
    cluster = yaml.safe_load((root / _FILE).read_text())
    overlays = {rendering.name: rendering for rendering in renderings(root)[0] if rendering.name in OVERLAYS}
    missing = [name for name in OVERLAYS if name not in overlays]
    for name in missing:
        yield Finding(f"{FOLDER}/{name}", "has no rendering to compare with kind.yaml", "correct it, or edit OVERLAYS")
    if not missing:
        yield from check_ports(cluster, overlays.values())


def check_ports(cluster: Object, overlays: Iterable[Rendering]) -> Iterator[Finding]:
    """Report mapped ports without a node port, node ports that are not mapped, and ports open to the network."""
    mapped = [mapping for node in cluster["nodes"] for mapping in node.get("extraPortMappings", [])]
    for mapping in mapped:
        if mapping.get("listenAddress") != "127.0.0.1":
            yield Finding(str(_FILE), f"port {mapping['hostPort']} is open to the network", "listen on 127.0.0.1")
    mapped_ports = {mapping["containerPort"] for mapping in mapped}
    node_ports = {
        port["nodePort"]: service
        for overlay in overlays
        for service in overlay.of("Service")
        for port in service.spec["ports"]
        if "nodePort" in port
    }
    for number in mapped_ports - node_ports.keys():
        yield Finding(str(_FILE), f"containerPort {number} is not a node port", "correct it, or add the Service")
    for number in node_ports.keys() - mapped_ports:
        yield Finding(node_ports[number].place, f"nodePort {number} is not mapped to a host port", f"map it in {_FILE}")
