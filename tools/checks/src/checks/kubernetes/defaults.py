"""Fields in lists that the server would add.

`kubectl apply` compares lists of most kinds as a whole. If the server adds a default to an element, each deploy prints
"configured" for an unchanged object, which hides real changes. Therefore the manifests contain these defaults.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from checks.findings import Finding
from checks.kubernetes.manifests import Manifest, Rendering

DEFAULTS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "NetworkPolicy": {
        "spec.ingress[].ports[]": {"protocol": "TCP"},
        "spec.egress[].ports[]": {"protocol": "TCP"},
    },
    "StatefulSet": {
        "spec.volumeClaimTemplates[]": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "status": {"phase": "Pending"},
        },
        "spec.volumeClaimTemplates[].spec": {"volumeMode": "Filesystem"},
    },
    "Gateway": {
        "spec.listeners[]": {"allowedRoutes": {"namespaces": {"from": "Same"}}},
        "spec.listeners[].tls": {"mode": "Terminate"},
        "spec.listeners[].tls.certificateRefs[]": {"group": "", "kind": "Secret"},
    },
    "HTTPRoute": {
        "spec.parentRefs[]": {"group": "gateway.networking.k8s.io", "kind": "Gateway"},
        "spec.rules[]": {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]},
        "spec.rules[].matches[]": {"path": {"type": "PathPrefix", "value": "/"}},
        "spec.rules[].backendRefs[]": {"group": "", "kind": "Service", "weight": 1},
    },
    "ExternalSecret": {
        "spec.data[].remoteRef": {
            "conversionStrategy": "Default",
            "decodingStrategy": "None",
            "metadataPolicy": "None",
            "nullBytePolicy": "Ignore",
        },
    },
}
"""The required fields with their defaults, by kind and path of the elements."""


def check_defaults(rendering: Rendering) -> Iterator[Finding]:
    """Report elements of lists without a field that the server would add."""
    for manifest in rendering.manifests:
        for path, fields in DEFAULTS.get(manifest.kind, {}).items():
            yield from _check_elements(manifest, path, fields)


def _check_elements(manifest: Manifest, path: str, fields: Mapping[str, object]) -> Iterator[Finding]:
    for element in _elements_at(manifest.body, path.split(".")):
        for field, value in fields.items():
            if field not in element:
                problem = f"each deploy finds {path} changed: the server adds {field}"
                yield Finding(manifest.place, problem, f"write {field}: {value}")


def _elements_at(value: Any, path: list[str]) -> Iterator[Mapping[str, Any]]:
    if not path:
        yield value
        return
    inner = value.get(path[0].removesuffix("[]"))
    for item in (inner or []) if path[0].endswith("[]") else [inner] if inner is not None else []:
        yield from _elements_at(item, path[1:])
