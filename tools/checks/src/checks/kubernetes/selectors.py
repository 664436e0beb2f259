"""Selectors match the labels of their pods, and ports exist."""

from collections.abc import Iterator
from typing import Any

from checks.findings import Finding
from checks.kubernetes.manifests import Manifest, Rendering, Workload, selects
from checks.kubernetes.settings import environment

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def check_selectors(rendering: Rendering) -> Iterator[Finding]:
    """Report selectors that match no pod or too many pods, and ports that no pod has."""
    for workload in rendering.workloads:
        yield from _own_pods(rendering, workload)
        yield from _probes(workload)
        yield from _listening(rendering, workload)
    for service in rendering.of("Service"):
        yield from _service(rendering, service)
    for budget in rendering.of("PodDisruptionBudget"):
        yield from _one(budget, rendering.selected(budget.spec.get("selector")))
    for policy in rendering.of("NetworkPolicy"):
        yield from _policy(rendering, policy)


def _own_pods(rendering: Rendering, workload: Workload) -> Iterator[Finding]:
    selector = workload.manifest.spec.get("selector")
    if selector is None and workload.manifest.kind == "Job":
        return  # Kubernetes adds a label to a Job's pods
    if not selects(selector, workload.labels):
        yield Finding(workload.place, "its selector does not match its own pods", "use the same labels in both")
    others = [other.name for other in rendering.selected(selector) if other != workload]
    if others:
        yield Finding(
            workload.place, f"its selector also matches pods of {', '.join(others)}", "add a label that differs"
        )
    for constraint in workload.pod.get("topologySpreadConstraints", []):
        if not selects(constraint.get("labelSelector"), workload.labels):
            yield Finding(
                workload.place, "a spread constraint does not count its own pods", "select them by their labels"
            )


def _probes(workload: Workload) -> Iterator[Finding]:
    for container in workload.containers:
        for probe in _PROBES:
            way = container.get(probe, {})
            port = way.get("httpGet", way.get("tcpSocket", {})).get("port")
            if port is not None and workload.port(port) is None:
                yield Finding(
                    workload.place, f"{probe} uses port {port}, which the container does not have", "correct it"
                )


def _listening(rendering: Rendering, workload: Workload) -> Iterator[Finding]:
    """PORT must be the container port `http`."""
    for container in workload.containers:
        port = environment(rendering, workload, container).get("PORT")
        has = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}.get("http")
        if port is not None and port != str(has):
            yield Finding(workload.place, f"PORT={port}, but its container port http is {has}", "use one number")


def _service(rendering: Rendering, service: Manifest) -> Iterator[Finding]:
    chosen = rendering.selected({"matchLabels": service.spec["selector"]})
    yield from _one(service, chosen)
    for port in service.spec["ports"]:
        target = port.get("targetPort", port["port"])
        for workload in chosen:
            if workload.port(target) is None:
                yield Finding(service.place, f"pods of {workload.name} have no port {target}", "correct targetPort")


def _one(manifest: Manifest, workloads: list[Workload]) -> Iterator[Finding]:
    if len(workloads) != 1:
        names = ", ".join(workload.name for workload in workloads) or "no workload"
        yield Finding(
            manifest.place, f"its selector matches the pods of {names}", "select the pods of exactly one workload"
        )


def _policy(rendering: Rendering, policy: Manifest) -> Iterator[Finding]:
    for selector in [policy.spec["podSelector"], *_peers(policy)]:
        if not rendering.selected(selector):
            yield Finding(
                policy.place, f"no pod has the labels {_shown(selector)}", "correct the selector, or remove the policy"
            )


def _peers(policy: Manifest) -> Iterator[Any]:
    """Return the pod selectors of the peers in this namespace."""
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in policy.spec.get(direction, []):
            for peer in rule.get(side, []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield peer["podSelector"]


def _shown(selector: dict[str, Any]) -> str:
    equal = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    among = [
        f"{expression['key']} {expression['operator']} {'|'.join(expression.get('values', []))}".rstrip()
        for expression in selector.get("matchExpressions", [])
    ]
    return ", ".join([*equal, *among])
