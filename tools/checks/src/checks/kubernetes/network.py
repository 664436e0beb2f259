"""Policies deny by default. They allow exactly the edges that the settings need, at both ends."""

from collections.abc import Iterator
from itertools import product

from checks.findings import Finding
from checks.kubernetes.edges import (
    DNS,
    KEDA,
    Address,
    Direction,
    Peer,
    allowed,
    knows_all_addresses,
    needed_addresses,
    policies_of,
    scaler_addresses,
)
from checks.kubernetes.manifests import Manifest, Rendering, Workload

_DIRECTIONS: tuple[Direction, Direction] = ("Ingress", "Egress")
_FOLDER = "infra/k8s/base/network"


def check_network(rendering: Rendering) -> Iterator[Finding]:
    """Report open pods, needed edges that are not allowed, edges allowed at one end only, and unneeded edges."""
    needed_edges: set[tuple[str, str]] = set()
    for workload in rendering.workloads:
        for direction in _DIRECTIONS:
            if not policies_of(rendering, direction, workload):
                yield Finding(
                    workload.place,
                    f"no policy selects its pods for {direction.lower()}",
                    f"deny by default in {_FOLDER}",
                )
        for address in needed_addresses(rendering, workload):
            yield from _check_needed_edge(rendering, workload, address, needed_edges)
    for authentication, address in scaler_addresses(rendering):
        yield from _check_scaler_edge(rendering, authentication, address)
    for caller, callee in product(rendering.workloads, repeat=2):
        if caller != callee:
            yield from _check_allowed_edges(rendering, caller, callee, needed_edges)


def _check_needed_edge(
    rendering: Rendering, caller: Workload, address: Address, needed_edges: set[tuple[str, str]]
) -> Iterator[Finding]:
    namespace, labels, port = DNS
    if not allowed(rendering, "Egress", caller, Peer(labels, namespace), port):
        yield Finding(
            caller.place, "it may not resolve names (kube-dns, port 53)", f"allow it in {_FOLDER}/default.yaml"
        )
    service = address.service(rendering)
    if service is None:
        if "." not in address.host or address.namespace == rendering.namespace:
            yield Finding(caller.place, f"{address.named}, but there is no such Service", "correct the setting")
        elif not allowed(rendering, "Egress", caller, Peer(namespace=address.namespace), address.port):
            yield Finding(
                caller.place, f"{address.named}, but no policy allows that egress", "allow that egress in the overlay"
            )
        return
    target = address.target_port(service)
    if target is None:
        yield Finding(caller.place, f"{address.named}, but that Service has no such port", "correct the setting")
        return
    for callee in rendering.selected({"matchLabels": service.spec["selector"]}):
        needed_edges.add((caller.name, callee.name))
        number = callee.port(target)
        if number is None:
            continue  # checks.kubernetes.selectors reports it
        if not allowed(rendering, "Egress", caller, Peer(dict(callee.labels)), number):
            yield Finding(caller.place, f"{address.named}, but no egress policy allows it", f"allow it in {_FOLDER}")
        if not allowed(rendering, "Ingress", callee, Peer(dict(caller.labels)), number):
            yield Finding(
                callee.place,
                f"{caller.name} needs it ({address.named}), but no ingress policy allows it",
                f"allow it in {_FOLDER}",
            )


def _check_scaler_edge(rendering: Rendering, authentication: Manifest, address: Address) -> Iterator[Finding]:
    """Check an address of KEDA, which resolves names in its own namespace and connects from there."""
    service = address.service(rendering)
    if "." not in address.host:
        fix = f"name it with its namespace: {address.host}.{rendering.namespace}"
        yield Finding(authentication.place, f"{address.named}, which does not resolve in namespace {KEDA}", fix)
    if service is None:
        if address.namespace == rendering.namespace:
            yield Finding(authentication.place, f"{address.named}, but there is no such Service", "correct the address")
        return
    target = address.target_port(service)
    if target is None:
        yield Finding(
            authentication.place, f"{address.named}, but that Service has no such port", "correct the address"
        )
        return
    for callee in rendering.selected({"matchLabels": service.spec["selector"]}):
        number = callee.port(target)
        if number and not allowed(rendering, "Ingress", callee, Peer(namespace=KEDA), number):
            yield Finding(
                callee.place,
                f"KEDA needs it ({address.named}), but no ingress policy allows it",
                f"allow it in {_FOLDER}",
            )


def _check_allowed_edges(
    rendering: Rendering, caller: Workload, callee: Workload, needed_edges: set[tuple[str, str]]
) -> Iterator[Finding]:
    """Report traffic that is allowed at one end only, or that no setting needs."""
    for port in callee.ports().values():
        out = allowed(rendering, "Egress", caller, Peer(dict(callee.labels)), port)
        into = allowed(rendering, "Ingress", callee, Peer(dict(caller.labels)), port)
        any_source = allowed(rendering, "Ingress", callee, Peer({}), port)
        edge = f"{caller.name} to {callee.name}, port {port}"
        if out and not into:
            yield Finding(_FOLDER, f"{edge}: egress is allowed, but ingress is not", "allow both or neither")
        if into and not out and not any_source:
            yield Finding(_FOLDER, f"{edge}: ingress is allowed, but egress is not", "allow both or neither")
        if out and into and (caller.name, callee.name) not in needed_edges and knows_all_addresses(rendering, caller):
            yield Finding(_FOLDER, f"{edge}: allowed, but no setting needs it", "remove it from the policies")
