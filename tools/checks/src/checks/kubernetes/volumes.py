"""Volume claims exist and are used, and all workloads use the same location for reports."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from checks.findings import Finding
from checks.kubernetes.manifests import Object, Rendering, Workload
from checks.kubernetes.settings import environment

STORE = "OBJECT_STORE_URL"


def check_volumes(rendering: Rendering) -> Iterator[Finding]:
    """Report claims that do not exist or are not used, and workloads with different locations of reports."""
    claims = {manifest.name: manifest for manifest in rendering.of("PersistentVolumeClaim")}
    used, places = set[str](), set[str]()
    for workload in rendering.workloads:
        own = set(_claims(workload).values())
        used |= own
        for name in sorted(own - claims.keys()):
            yield Finding(workload.place, f"it needs PersistentVolumeClaim {name}, which does not exist", "add it")
        for container in workload.containers:
            url = urlsplit(environment(rendering, workload, container).get(STORE, ""))
            if url.scheme == "file":
                claim = _mounted_at(workload, container, PurePosixPath(url.path))
                places.add(f"{claim}:{url.path}")
                if claim is None:
                    yield Finding(workload.place, f"{STORE}={url.geturl()}: no claim is mounted there", "mount it")
            elif url.scheme:
                places.add(url.geturl())
    for name in sorted(claims.keys() - used):
        yield Finding(claims[name].place, "nothing mounts it", "mount it, or remove it")
    if len(places) > 1:
        yield Finding("infra/k8s", f"reports are at {' and '.join(sorted(places))}", f"give all the same {STORE}")


def _claims(workload: Workload) -> dict[str, str]:
    """Return the claims of a workload's pods by name of the volume."""
    volumes = workload.pod.get("volumes", [])
    return {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in volumes
        if "persistentVolumeClaim" in volume
    }


def _mounted_at(workload: Workload, container: Object, path: PurePosixPath) -> str | None:
    """Return the claim that contains a path of a container, if the container can write there."""
    claims = _claims(workload)
    for mount in container.get("volumeMounts", []):
        if mount["name"] in claims and not mount.get("readOnly") and path.is_relative_to(mount["mountPath"]):
            return claims[mount["name"]]
    return None
