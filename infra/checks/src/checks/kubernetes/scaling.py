"""One owner for each number of replicas: an autoscaler that exists, aims at what exists, and is not contradicted."""

from collections.abc import Iterator

from checks.findings import Finding
from checks.kubernetes.manifests import Manifest, Rendering


def check_scaling(rendering: Rendering) -> Iterator[Finding]:
    """Report autoscalers without a target, and targets with two owners."""
    owners: dict[str, str] = {}
    for scaler in rendering.of("HorizontalPodAutoscaler", "ScaledObject"):
        reference = scaler.spec["scaleTargetRef"]
        target = rendering.find(reference.get("kind", "Deployment"), reference["name"])
        if target is None:
            yield Finding(
                scaler.place, f"it scales {reference['name']}, which does not exist", "correct scaleTargetRef"
            )
            continue
        if target.name in owners:
            yield Finding(scaler.place, f"{target.name} is scaled by {owners[target.name]} too", "keep one of them")
        owners[target.name] = scaler.name
        if "replicas" in target.spec:
            yield Finding(
                target.place, f"replicas is set, but {scaler.kind} {scaler.name} owns it", "drop spec.replicas"
            )
        yield from _range(scaler)


def _range(scaler: Manifest) -> Iterator[Finding]:
    horizontal = scaler.kind == "HorizontalPodAutoscaler"
    least, most = ("minReplicas", "maxReplicas") if horizontal else ("minReplicaCount", "maxReplicaCount")
    if not 1 <= scaler.spec.get(least, 1) <= scaler.spec[most]:
        yield Finding(
            scaler.place,
            f"it scales from {scaler.spec.get(least, 1)} to {scaler.spec[most]}",
            f"let {least} be at least one and {most} no less",
        )
