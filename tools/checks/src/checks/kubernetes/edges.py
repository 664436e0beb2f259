"""The edges of the network: the policies must allow each address in the settings, at the caller and at the callee.

`needed_addresses` returns the addresses in the settings. `allowed` evaluates the policies as a cluster does: a pod that
no policy selects for a direction is open in this direction; otherwise one of its policies must allow the traffic.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from checks.kubernetes.manifests import Manifest, Object, Rendering, Workload, selects
from checks.kubernetes.settings import UNKNOWN, environment, mounted, sources

Direction = Literal["Ingress", "Egress"]

LINKS = {"PUBLIC_WS_URL", "TRACES_URL", "LOGS_URL", "METRICS_URL", "MAIL_URL", "OBJECT_STORE_URL"}
"""Addresses to which the process does not connect: those for browsers, and the name of a bucket behind S3_ENDPOINT."""

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "redis": 6379, "rediss": 6379}
_IN_A_FILE = re.compile(r"(?P<scheme>https?://)?\b(?P<host>[a-z][a-z0-9-]*):(?P<port>\d{2,5})\b")
_QUALIFIED = re.compile(r"^(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)(\.svc(\.cluster\.local)?)?$")

KEDA = "keda"
"""The namespace in which KEDA runs."""

DNS = ("kube-system", {"k8s-app": "kube-dns"}, 53)


@dataclass(frozen=True)
class Address:
    """The host name and port in a setting. The port is 0 if the URL has none and its scheme has no known default."""

    setting: str
    host: str
    port: int

    @property
    def named(self) -> str:
        """The address in findings."""
        return f"{self.setting} is {self.host}:{self.port or '(no port)'}"

    @property
    def namespace(self) -> str | None:
        """The namespace in the name of a Service; None if the name has none or is an external name."""
        match = _QUALIFIED.match(self.host)
        return match["namespace"] if match else None

    def service(self, rendering: Rendering) -> Manifest | None:
        """Return Hopline's Service with this host name, with or without namespace, or None."""
        if self.namespace in {None, rendering.namespace}:
            match = _QUALIFIED.match(self.host)
            return rendering.find("Service", match["name"] if match else self.host)
        return None

    def target_port(self, service: Manifest) -> str | int | None:
        """Return the port of the pods behind a Service, None if the Service does not have the address's port."""
        ports = {port["port"]: port.get("targetPort", port["port"]) for port in service.spec["ports"]}
        return ports.get(self.port)


@dataclass(frozen=True)
class Peer:
    """The other end of an edge.

    With labels: the pods with these labels in `namespace` (None: Hopline's). Without labels: all pods of `namespace`,
    or external hosts if `namespace` is None too.
    """

    labels: dict[str, str] | None = None
    namespace: str | None = None


def needed_addresses(rendering: Rendering, workload: Workload) -> Iterator[Address]:
    """Return the addresses in the settings and mounted files of a workload's containers, except in secrets."""
    for container in workload.containers:
        yield from _in_files(rendering, workload, container)
        settings = environment(rendering, workload, container)
        for name, value in settings.items():
            if name not in LINKS and (address := _address(name, value)):
                yield address
        if "SMTP_HOST" in settings:
            yield Address("SMTP_HOST", settings["SMTP_HOST"], int(settings.get("SMTP_PORT", 25)))


def _in_files(rendering: Rendering, workload: Workload, container: Object) -> Iterator[Address]:
    """Return the addresses in mounted ConfigMaps: `http://name:port`, and `name:port` if a Service has that name."""
    by_name = sources(rendering)
    for _, kind, name in mounted(workload, container):
        source = by_name.get((kind, name)) if kind == "ConfigMap" else None
        for file, text in (source.values if source else {}).items():
            for found in _IN_A_FILE.finditer(text):
                if found["host"] != "localhost" and (found["scheme"] or rendering.find("Service", found["host"])):
                    yield Address(file, found["host"], int(found["port"]))


def scaler_addresses(rendering: Rendering) -> Iterator[tuple[Manifest, Address]]:
    """Return the addresses that KEDA connects to, from its own namespace, with the object that names each."""
    by_name = sources(rendering)
    for authentication in rendering.of("TriggerAuthentication"):
        for reference in authentication.spec.get("secretTargetRef", []):
            source = by_name.get(("Secret", reference["name"]))
            value = source.values.get(reference["key"], UNKNOWN) if source else UNKNOWN
            if address := _address(reference["parameter"], value):
                yield authentication, address


def _address(setting: str, value: str) -> Address | None:
    url = urlsplit(value) if "://" in value else None
    return Address(setting, url.hostname, url.port or _PORTS.get(url.scheme, 0)) if url and url.hostname else None


def knows_all_addresses(rendering: Rendering, workload: Workload) -> bool:
    """Return whether the rendering contains all addresses of a workload. If so, its policies must not allow others."""
    return all(
        value != UNKNOWN
        for container in workload.containers
        for name, value in environment(rendering, workload, container).items()
        if name.endswith("_URL")
    )


def allowed(rendering: Rendering, direction: Direction, workload: Workload, peer: Peer, port: int) -> bool:
    """Return whether the policies that select `workload` allow traffic with `peer` on the callee's `port`."""
    policies = policies_of(rendering, direction, workload)
    return not policies or any(
        _port_matches(rule, port) and _peer_matches(rule.get("from" if direction == "Ingress" else "to"), peer)
        for policy in policies
        for rule in policy.get(direction.lower(), [])
    )


def policies_of(rendering: Rendering, direction: Direction, workload: Workload) -> list[dict[str, Any]]:
    """Return the `spec` of each policy for a direction of this workload's pods."""
    return [
        policy.spec
        for policy in rendering.of("NetworkPolicy")
        if direction in policy.spec["policyTypes"] and selects(policy.spec["podSelector"], workload.labels)
    ]


def _port_matches(rule: dict[str, Any], port: int) -> bool:
    return "ports" not in rule or any(entry.get("port") in (None, port) for entry in rule["ports"])


def _peer_matches(peers: list[dict[str, Any]] | None, peer: Peer) -> bool:
    return peers is None or any(_rule_matches(candidate, peer) for candidate in peers)


def _rule_matches(rule: dict[str, Any], peer: Peer) -> bool:
    if peer.labels is None and peer.namespace is None:
        return "ipBlock" in rule
    if "ipBlock" in rule:
        return False  # rules by address never match pods, whose addresses are not known in advance
    namespace = {"kubernetes.io/metadata.name": peer.namespace} if peer.namespace else None
    if "namespaceSelector" in rule:
        if namespace is None or not selects(rule["namespaceSelector"], namespace):
            return False
    elif namespace is not None:
        return False
    return peer.labels is None or selects(rule.get("podSelector", {}), peer.labels)
