"""Hopline's rules for pods: restricted, limited, probed, stopped gracefully."""

from collections.abc import Iterator

from checks.findings import Finding
from checks.kubernetes.manifests import Object, Rendering, Workload
from checks.kubernetes.settings import environment

PROCESSES = ("service", "worker")
"""Hopline's components that always run."""

PROBED_AT = {
    "startupProbe": "/health/startup",
    "livenessProbe": "/health/live",
    "readinessProbe": "/health/ready",
}
STANDARD_LABELS = ("name", "component", "part-of", "managed-by")
_HOST = ("hostNetwork", "hostPID", "hostIPC")


def check_hardening(rendering: Rendering) -> Iterator[Finding]:
    """Report unnecessary privileges of pods, and missing settings."""
    for workload in rendering.workloads:
        yield from _check_labels(workload)
        yield from _check_pod(workload)
        for container in workload.containers:
            yield from _check_container(workload, container)
        if workload.manifest.kind != "Job":
            yield from _check_probes(workload)
        if workload.labels.get("app.kubernetes.io/component") in PROCESSES:
            yield from _check_process(rendering, workload)
    for namespace in rendering.of("Namespace"):
        if namespace.labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield Finding(
                namespace.place, "it accepts pods that are not restricted", "enforce Pod Security by its label"
            )


def _check_labels(workload: Workload) -> Iterator[Finding]:
    lacking = [name for name in STANDARD_LABELS if f"app.kubernetes.io/{name}" not in workload.labels]
    if lacking:
        yield Finding(
            workload.place, f"its pods have no label app.kubernetes.io/{lacking[0]}", "add the standard labels"
        )


def _check_pod(workload: Workload) -> Iterator[Finding]:
    pod, context = workload.pod, workload.pod.get("securityContext", {})
    rules = {
        "runs as root, or as a user of the image's choice": context.get("runAsNonRoot")
        and context.get("runAsUser", 0) > 0,
        "has no seccomp profile": context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "has a token for the cluster": pod.get("automountServiceAccountToken") is False,
        "has variables for every Service": pod.get("enableServiceLinks") is False,
        "uses a namespace of the host": not any(pod.get(word) for word in _HOST)
        and not any("hostPath" in volume for volume in pod.get("volumes", [])),
    }
    for problem, is_met in rules.items():
        if not is_met:
            yield Finding(workload.place, f"its pod {problem}", "use the component templates/restricted")


def _check_container(workload: Workload, container: Object) -> Iterator[Finding]:
    context, resources = container.get("securityContext", {}), container.get("resources", {})
    rules = {
        "may gain privileges": context.get("allowPrivilegeEscalation") is False and not context.get("privileged"),
        "keeps capabilities": context.get("capabilities", {}).get("drop") == ["ALL"]
        and not context["capabilities"].get("add"),
        "may write to its root file system": context.get("readOnlyRootFilesystem") is True,
    }
    for problem, is_met in rules.items():
        if not is_met:
            yield Finding(
                workload.place, f"container {container['name']} {problem}", "use the component templates/restricted"
            )
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if resource not in resources.get(kind, {}):
                yield Finding(
                    workload.place,
                    f"container {container['name']} has no {kind}.{resource}",
                    f"set resources.{kind}.{resource}",
                )


def _check_probes(workload: Workload) -> Iterator[Finding]:
    component = workload.labels.get("app.kubernetes.io/component")
    for container in workload.pod["containers"]:
        if component == "service":
            for probe, path in PROBED_AT.items():
                used = container.get(probe, {}).get("httpGet", {}).get("path")
                if used != path:
                    yield Finding(workload.place, f"its {probe} uses {used}", f"use {path}")
        elif container.get("ports"):
            for probe in ("livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield Finding(workload.place, f"container {container['name']} has no {probe}", f"add {probe}")
        elif not workload.manifest.spec.get("minReadySeconds"):
            yield Finding(
                workload.place,
                "a rollout considers its pods ready as soon as they run",
                "probe it, or set minReadySeconds",
            )


def _check_process(rendering: Rendering, workload: Workload) -> Iterator[Finding]:
    """Check the rules for processes with several replicas."""
    spec = workload.manifest.spec
    if not any(
        rendering.selected(budget.spec["selector"]) == [workload] for budget in rendering.of("PodDisruptionBudget")
    ):
        yield Finding(workload.place, "no PodDisruptionBudget covers it", "add one")
    if not workload.pod.get("topologySpreadConstraints"):
        yield Finding(workload.place, "its pods may all be on one node", "add topologySpreadConstraints")
    if spec.get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
        yield Finding(workload.place, "a rollout removes pods before new ones are ready", "set maxUnavailable: 0")
    for container in workload.pod["containers"]:
        yield from _check_host_name(workload, container)
        workers = environment(rendering, workload, container).get("WEB_CONCURRENCY")
        if workers != "1":
            yield Finding(workload.place, f"WEB_CONCURRENCY={workers}", "set 1: the cluster counts processes by pods")


def _check_host_name(workload: Workload, container: Object) -> Iterator[Finding]:
    """Check that host.name is the node, because Jaeger corrects clocks between hosts and a node has only one clock."""
    variables = {variable["name"]: variable for variable in container.get("env", [])}
    node = variables.get("NODE_NAME", {}).get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    attributes = str(variables.get("OTEL_RESOURCE_ATTRIBUTES", {}).get("value", ""))
    if node != "spec.nodeName" or "host.name=$(NODE_NAME)" not in attributes.split(","):
        yield Finding(workload.place, "its spans do not name the node", "set host.name=$(NODE_NAME) from spec.nodeName")
