"""What a container of a rendering is told: its environment, and the files behind `X_FILE` where they are known."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from checks.kubernetes.manifests import Object, Rendering, Workload

UNKNOWN = "\N{HORIZONTAL ELLIPSIS}"
"""The value of a secret that comes from elsewhere when the overlay is applied."""


@dataclass(frozen=True)
class Source:
    """A ConfigMap or a Secret: its values by key, and who gives it (the Secret's file, or an ExternalSecret's)."""

    kind: str
    name: str
    values: Mapping[str, str]


def sources(rendering: Rendering) -> dict[tuple[str, str], Source]:
    """Give every ConfigMap and Secret by kind and name; an ExternalSecret counts as the Secret that it makes."""
    found = [
        Source("ConfigMap", manifest.name, {**manifest.body.get("data", {}), **manifest.body.get("binaryData", {})})
        for manifest in rendering.of("ConfigMap")
    ]
    for manifest in rendering.of("Secret"):
        encoded = {key: b64decode(value).decode() for key, value in manifest.body.get("data", {}).items()}
        found.append(Source("Secret", manifest.name, {**encoded, **manifest.body.get("stringData", {})}))
    for manifest in rendering.of("ExternalSecret"):
        made = manifest.spec.get("target", {}).get("name", manifest.name)
        found.append(Source("Secret", made, {item["secretKey"]: UNKNOWN for item in manifest.spec.get("data", [])}))
    return {(source.kind, source.name): source for source in found}


def mounted(workload: Workload, container: Object) -> Iterator[tuple[PurePosixPath, str, str]]:
    """Give each ConfigMap and Secret that the container sees as a folder: (folder, kind, name)."""
    volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        if "configMap" in volume:
            yield PurePosixPath(mount["mountPath"]), "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield PurePosixPath(mount["mountPath"]), "Secret", volume["secret"]["secretName"]


def environment(rendering: Rendering, workload: Workload, container: Object) -> dict[str, str]:
    """Give the container's settings: variables, and for `X_FILE` the content as `X`, UNKNOWN where it is not known."""
    known = sources(rendering)
    variables: dict[str, str] = {}
    for reference in container.get("envFrom", []):
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            source = known.get((kind, reference.get(field, {}).get("name")))
            variables.update(source.values if source else {})
    for variable in container.get("env", []):
        variables[variable["name"]] = str(variable.get("value", UNKNOWN))
    for name in [name for name in variables if name.endswith("_FILE")]:
        path = PurePosixPath(variables[name])
        for folder, kind, source_name in mounted(workload, container):
            source = known.get((kind, source_name))
            if path.parent == folder and source:
                variables[name.removesuffix("_FILE")] = source.values.get(path.name, UNKNOWN)
    return variables
