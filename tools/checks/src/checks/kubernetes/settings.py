"""The settings of a container: its environment, and the content of files in `X_FILE` if it is known."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from checks.kubernetes.manifests import Object, Rendering, Workload

UNKNOWN = "\N{HORIZONTAL ELLIPSIS}"
"""The value of a secret that is not in the rendering."""


@dataclass(frozen=True)
class Source:
    """A ConfigMap or a Secret: its values by key, and the manifest that defines it."""

    kind: str
    name: str
    values: Mapping[str, str]


def sources(rendering: Rendering) -> dict[tuple[str, str], Source]:
    """Return all ConfigMaps and Secrets by kind and name. An ExternalSecret counts as the Secret that it creates."""
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
    """Return the ConfigMaps and Secrets that are mounted as folders: (folder, kind, name)."""
    volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        if "configMap" in volume:
            yield PurePosixPath(mount["mountPath"]), "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield PurePosixPath(mount["mountPath"]), "Secret", volume["secret"]["secretName"]


def environment(rendering: Rendering, workload: Workload, container: Object) -> dict[str, str]:
    """Return the container's variables, and for `X_FILE` the content as `X` (UNKNOWN if it is not known)."""
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
