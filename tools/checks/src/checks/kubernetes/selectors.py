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
        yield from _check_own_pods(rendering, workload)
        yield from _check_probes(workload)
        yield from _check_listening_port(rendering, workload)
    for service in rendering.of("Service"):
        yield from _check_service(rendering, service)
    for budget in rendering.of("PodDisruptionBudget"):
        yield from _check_one_workload(budget, rendering.selected(budget.spec.get("selector")))
    for policy in rendering.of("NetworkPolicy"):
        yield from _check_policy(rendering, policy)


def _check_own_pods(rendering: Rendering, workload: Workload) -> Iterator[Finding]:
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


def _check_probes(workload: Workload) -> Iterator[Finding]:
    for container in workload.containers:
        for probe in _PROBES:
            definition = container.get(probe, {})
            port = definition.get("httpGet", definition.get("tcpSocket", {})).get("port")
            if port is not None and workload.port(port) is None:
                yield Finding(
                    workload.place,
                    f"{probe} uses port {port}, which its pod does not have",
                    "use a port of the pod",
                )


def _check_listening_port(rendering: Rendering, workload: Workload) -> Iterator[Finding]:
    """Check that PORT is the container port `http`."""
    for container in workload.containers:
        port = environment(rendering, workload, container).get("PORT")
        declared = {entry.get("name"): entry["containerPort"] for entry in container.get("ports", [])}.get("http")
        if port is not None and port != str(declared):
            yield Finding(workload.place, f"PORT={port}, but its container port http is {declared}", "use one number")


def _check_service(rendering: Rendering, service: Manifest) -> Iterator[Finding]:
    chosen = rendering.selected({"matchLabels": service.spec["selector"]})
    yield from _check_one_workload(service, chosen)
    for port in service.spec["ports"]:
        target = port.get("targetPort", port["port"])
        for workload in chosen:
            if workload.port(target) is None:
                yield Finding(service.place, f"pods of {workload.name} have no port {target}", "correct targetPort")


def _check_one_workload(manifest: Manifest, workloads: list[Workload]) -> Iterator[Finding]:
    if len(workloads) != 1:
        names = ", ".join(workload.name for workload in workloads) or "no workload"
        yield Finding(
            manifest.place, f"its selector matches the pods of {names}", "select the pods of exactly one workload"
        )


def _check_policy(rendering: Rendering, policy: Manifest) -> Iterator[Finding]:
    for selector in [policy.spec["podSelector"], *_peers(policy)]:
        if not rendering.selected(selector):
            yield Finding(
                policy.place,
                f"no pod has the labels {_format_selector(selector)}",
                "correct the selector, or remove the policy",
            )


def _peers(policy: Manifest) -> Iterator[Any]:
    """Return the pod selectors of the peers in this namespace."""
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in policy.spec.get(direction, []):
            for peer in rule.get(side, []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield peer["podSelector"]


def _format_selector(selector: dict[str, Any]) -> str:
    equal = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    among = [
        f"{expression['key']} {expression['operator']} {'|'.join(expression.get('values', []))}".rstrip()
        for expression in selector.get("matchExpressions", [])
    ]
    return ", ".join([*equal, *among])
