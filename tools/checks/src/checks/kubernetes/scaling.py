"""Each number of replicas has one owner and is at least two; each autoscaler has an existing target."""

from collections.abc import Iterator

from checks.findings import Finding
from checks.kubernetes.hardening import PROCESSES
from checks.kubernetes.manifests import Manifest, Rendering

MIN_REPLICAS = 2
"""Minimum number of replicas. With one, requests fail from the deletion of its pod until the next pod is ready."""

FIELDS = {
    "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas"),
    "ScaledObject": ("minReplicaCount", "maxReplicaCount"),
}
"""The fields with the minimum and the maximum number of replicas, by kind of autoscaler."""
DEFAULTS = {"minReplicas": 1, "minReplicaCount": 0, "maxReplicaCount": 100}
"""The defaults of these fields in Kubernetes and KEDA. `maxReplicas` is required."""


def check_scaling(rendering: Rendering) -> Iterator[Finding]:
    """Report autoscalers without a target, targets with two owners, and processes that may have only one replica."""
    owners: dict[str, str] = {}
    minimums: dict[str, int] = {}
    for scaler in rendering.of(*FIELDS):
        reference = scaler.spec["scaleTargetRef"]
        target = rendering.find(reference.get("kind", "Deployment"), reference["name"])
        if target is None:
            yield Finding(
                scaler.place, f"it scales {reference['name']}, which does not exist", "correct scaleTargetRef"
            )
            continue
        if target.name in owners:
            yield Finding(scaler.place, f"{target.name} is also scaled by {owners[target.name]}", "keep one of them")
        owners[target.name] = scaler.name
        minimums[target.name], _ = _range(scaler)
        if "replicas" in target.spec:
            yield Finding(
                target.place, f"replicas is set, but {scaler.kind} {scaler.name} owns it", "remove spec.replicas"
            )
        yield from _check_range(scaler)
    for workload in rendering.workloads:
        replicas = minimums.get(workload.name, int(workload.manifest.spec.get("replicas", 1)))
        if workload.labels.get("app.kubernetes.io/component") in PROCESSES and replicas < MIN_REPLICAS:
            yield Finding(
                workload.place,
                f"it may run as {replicas} replica{'' if replicas == 1 else 's'}",
                f"run at least {MIN_REPLICAS} of each process",
            )


def _range(scaler: Manifest) -> tuple[int, int]:
    """Return the minimum and the maximum number of replicas, of which each may be a default."""
    minimum, maximum = FIELDS[scaler.kind]
    spec = {**DEFAULTS, **scaler.spec}
    return int(spec[minimum]), int(spec[maximum])


def _check_range(scaler: Manifest) -> Iterator[Finding]:
    least, most = _range(scaler)
    if not 1 <= least <= most:
        minimum, maximum = FIELDS[scaler.kind]
        yield Finding(
            scaler.place,
            f"it scales from {least} to {most}",
            f"let {minimum} be at least one and {maximum} not below it",
        )
