"""Rendered Kubernetes objects, the files that they come from, and their pods."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Object = dict[str, Any]

ORIGIN = "config.kubernetes.io/origin"
"""The annotation with the file of an object, which kustomize adds."""

_KINDS_WITH_PODS = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class Manifest:
    """One object, and the file of the repository that defines it."""

    body: Object
    origin: str

    @property
    def kind(self) -> str:
        """The kind, such as `Deployment`."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """The object's name, including the hash of a generator."""
        return str(self.body["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels."""
        return self.body["metadata"].get("labels") or {}

    @property
    def spec(self) -> Object:
        """The object's `spec`, empty if it has none."""
        return self.body.get("spec") or {}

    @property
    def place(self) -> str:
        """Its name in findings."""
        return f"{self.origin} ({self.kind} {self.name})"


@dataclass(frozen=True)
class Workload:
    """A manifest that creates pods."""

    manifest: Manifest

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @property
    def place(self) -> str:
        """Its name in findings."""
        return self.manifest.place

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its pods."""
        return self.manifest.spec["template"].get("metadata", {}).get("labels") or {}

    @property
    def pod(self) -> Object:
        """The pods' `spec`."""
        pod: Object = self.manifest.spec["template"]["spec"]
        return pod

    @property
    def containers(self) -> list[Object]:
        """All containers, including init containers."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def ports(self) -> dict[str, int]:
        """Return the container ports by name, or by number if they have no name."""
        return {
            str(port.get("name", port["containerPort"])): port["containerPort"]
            for container in self.containers
            for port in container.get("ports", [])
        }

    def port(self, name_or_number: str | int) -> int | None:
        """Return the container port of a Service's or probe's port; None if there is none."""
        if isinstance(name_or_number, int):
            return name_or_number if name_or_number in self.ports().values() else None
        return self.ports().get(name_or_number)


@dataclass(frozen=True)
class Rendering:
    """All objects of one overlay with a choice of components."""

    name: str
    manifests: list[Manifest]

    def of(self, *kinds: str) -> Iterator[Manifest]:
        """Return the manifests of these kinds."""
        return (manifest for manifest in self.manifests if manifest.kind in kinds)

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return one manifest, None if it does not exist."""
        return next((manifest for manifest in self.of(kind) if manifest.name == name), None)

    def get(self, kind: str, name: str) -> Manifest:
        """Return one manifest. Raises KeyError if it does not exist."""
        manifest = self.find(kind, name)
        if manifest is None:
            raise KeyError(f"{self.name} has no {kind} {name}")
        return manifest

    @cached_property
    def namespace(self) -> str:
        """The namespace of all objects, empty if there is none."""
        return next((manifest.name for manifest in self.of("Namespace")), "")

    @cached_property
    def workloads(self) -> list[Workload]:
        """The manifests that create pods."""
        return [Workload(manifest) for manifest in self.of(*_KINDS_WITH_PODS)]

    def selected(self, selector: Mapping[str, Any] | None) -> list[Workload]:
        """Return the workloads whose pods match a label selector (`matchLabels`, `matchExpressions`)."""
        return [workload for workload in self.workloads if selects(selector, workload.labels)]


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector matches these labels. An empty one matches all labels, None matches none."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _satisfies(labels, expression) for expression in selector.get("matchExpressions") or []
    )


def _satisfies(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            raise ValueError(f"unknown operator of label selectors: {operator}")
