"""References resolve: ConfigMaps, Secrets and their keys, accounts, authentication of triggers, and backends."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from checks.findings import Finding
from checks.kubernetes.manifests import Manifest, Object, Rendering, Workload
from checks.kubernetes.settings import environment, mounted, sources

_EXTERNAL_OBJECTS = {("ConfigMap", "kube-root-ca.crt"), ("Secret", "hopline-tls")}
"""Objects that Kubernetes or the issuer of certificates creates."""


def check_references(rendering: Rendering) -> Iterator[Finding]:
    """Report references to missing objects, and generated objects that nothing uses."""
    used: set[tuple[str, str]] = set()
    for workload in rendering.workloads:
        yield from _check_service_account(rendering, workload)
        yield from _check_sources(rendering, workload, used)
        yield from _check_files(rendering, workload)
    for manifest in rendering.of("TriggerAuthentication"):
        for reference in manifest.spec.get("secretTargetRef", []):
            used.add(("Secret", reference["name"]))
            yield from _check_key(rendering, manifest.place, "Secret", reference["name"], reference["key"])
    for manifest in rendering.of("ConfigMap", "Secret"):
        if (manifest.kind, manifest.name) not in used:
            yield Finding(manifest.place, "nothing uses it", "refer to it, or remove it")
    yield from _check_stateful_sets(rendering)
    yield from _check_triggers(rendering)
    yield from _check_routes(rendering)


def _check_service_account(rendering: Rendering, workload: Workload) -> Iterator[Finding]:
    name = workload.pod.get("serviceAccountName")
    if name and not rendering.find("ServiceAccount", name):
        yield Finding(workload.place, f"its pods run as ServiceAccount {name}, which does not exist", "add it")


def _check_sources(rendering: Rendering, workload: Workload, used: set[tuple[str, str]]) -> Iterator[Finding]:
    wanted: list[tuple[str, str, str | None]] = []
    for container in workload.containers:
        for reference in container.get("envFrom", []):
            wanted += [
                (kind, reference[field]["name"], None)
                for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef"))
                if field in reference
            ]
        for variable in container.get("env", []):
            wanted += [
                (kind, source["name"], source["key"])
                for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef"))
                if (source := variable.get("valueFrom", {}).get(field))
            ]
    for volume in workload.pod.get("volumes", []):
        for kind, field, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if field in volume:
                keys = [item["key"] for item in volume[field].get("items", [])]
                wanted += [(kind, volume[field][name], key) for key in keys or [None]]
    for kind, name, key in wanted:
        used.add((kind, name))
        yield from _check_key(rendering, workload.place, kind, name, key)


def _check_key(rendering: Rendering, place: str, kind: str, name: str, key: str | None) -> Iterator[Finding]:
    if (kind, name) in _EXTERNAL_OBJECTS:
        return
    source = sources(rendering).get((kind, name))
    if source is None:
        yield Finding(place, f"it needs {kind} {name}, which does not exist", "generate it, or correct the name")
    elif key is not None and key not in source.values:
        there = ", ".join(sorted(source.values))
        yield Finding(place, f"{kind} {name} has no key {key}", f"add it, or use an existing one: {there}")


def _check_files(rendering: Rendering, workload: Workload) -> Iterator[Finding]:
    """Check that the files that settings name are mounted."""
    for container in workload.containers:
        folders = {folder: (kind, name) for folder, kind, name in mounted(workload, container)}
        for variable, value in environment(rendering, workload, container).items():
            if not variable.endswith("_FILE"):
                continue
            path = PurePosixPath(value)
            if path.parent not in folders:
                yield Finding(workload.place, f"{variable}={value}: no Secret is mounted there", "mount it")
            else:
                yield from _check_key(rendering, f"{workload.place}, {variable}", *folders[path.parent], path.name)


def _check_stateful_sets(rendering: Rendering) -> Iterator[Finding]:
    for manifest in rendering.of("StatefulSet"):
        name = manifest.spec.get("serviceName")
        if name and not rendering.find("Service", name):
            yield Finding(manifest.place, f"serviceName: there is no Service {name}", "add it, or correct the name")


def _check_triggers(rendering: Rendering) -> Iterator[Finding]:
    for manifest in rendering.of("ScaledObject"):
        for trigger in manifest.spec["triggers"]:
            name = trigger.get("authenticationRef", {}).get("name")
            if name and not rendering.find("TriggerAuthentication", name):
                yield Finding(
                    manifest.place, f"there is no TriggerAuthentication {name}", "add it, or correct the name"
                )


def _check_routes(rendering: Rendering) -> Iterator[Finding]:
    for manifest in rendering.of("Ingress"):
        for rule in manifest.spec.get("rules", []):
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield from _check_backend(rendering, manifest, service["name"], service["port"])
    for manifest in rendering.of("HTTPRoute"):
        for parent in manifest.spec.get("parentRefs", []):
            yield from _check_parent(rendering, manifest, parent)
        for rule in manifest.spec.get("rules", []):
            for backend in rule.get("backendRefs", []):
                yield from _check_backend(rendering, manifest, backend["name"], {"number": backend["port"]})


def _check_backend(rendering: Rendering, manifest: Manifest, name: str, port: Object) -> Iterator[Finding]:
    service = rendering.find("Service", name)
    if service is None:
        yield Finding(manifest.place, f"it sends to Service {name}, which does not exist", "correct the name")
    elif not any(
        port in ({"name": offered.get("name")}, {"number": offered["port"]}) for offered in service.spec["ports"]
    ):
        wanted = port.get("name", port.get("number"))
        yield Finding(manifest.place, f"Service {name} has no port {wanted}", "correct the port")


def _check_parent(rendering: Rendering, manifest: Manifest, parent: Object) -> Iterator[Finding]:
    gateway = rendering.find("Gateway", parent["name"])
    sections = [listener["name"] for listener in gateway.spec["listeners"]] if gateway else []
    if gateway is None:
        yield Finding(manifest.place, f"there is no Gateway {parent['name']}", "correct parentRefs")
    elif parent.get("sectionName", sections[0]) not in sections:
        yield Finding(
            manifest.place,
            f"Gateway {parent['name']} has no listener {parent['sectionName']}",
            f"use one of {', '.join(sections)}",
        )
