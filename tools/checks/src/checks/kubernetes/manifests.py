"""Rendered Kubernetes objects: what they are, where they come from, and the pods that they make."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Object = dict[str, Any]

ORIGIN = "config.kubernetes.io/origin"
"""The annotation by which kustomize tells from which file an object comes."""

_MAKES_PODS = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class Manifest:
    """One object, and the file of the repository that it was made from."""

    body: Object
    origin: str

    @property
    def kind(self) -> str:
        """`Deployment` and so on."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """The object's name, with the hash where a generator has added one."""
        return str(self.body["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's own labels."""
        return self.body["metadata"].get("labels") or {}

    @property
    def spec(self) -> Object:
        """The object's `spec`, empty where it has none."""
        return self.body.get("spec") or {}

    @property
    def place(self) -> str:
        """How a finding names it."""
        return f"{self.origin} ({self.kind} {self.name})"


@dataclass(frozen=True)
class Workload:
    """A manifest that makes pods."""

    manifest: Manifest

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @property
    def place(self) -> str:
        """How a finding names it."""
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
        """Every container, those that run before the others included."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def ports(self) -> dict[str, int]:
        """The container ports by name; those without one by their number."""
        return {
            str(port.get("name", port["containerPort"])): port["containerPort"]
            for container in self.containers
            for port in container.get("ports", [])
        }

    def port(self, name_or_number: str | int) -> int | None:
        """The container port that a Service or a probe means; None where there is none."""
        if isinstance(name_or_number, int):
            return name_or_number if name_or_number in self.ports().values() else None
        return self.ports().get(name_or_number)


@dataclass(frozen=True)
class Rendering:
    """All objects of one overlay with a choice of components."""

    name: str
    manifests: list[Manifest]

    def of(self, *kinds: str) -> Iterator[Manifest]:
        """Give the manifests of these kinds."""
        return (manifest for manifest in self.manifests if manifest.kind in kinds)

    def find(self, kind: str, name: str) -> Manifest | None:
        """Give one manifest; None where it is not there."""
        return next((manifest for manifest in self.of(kind) if manifest.name == name), None)

    def get(self, kind: str, name: str) -> Manifest:
        """Give one manifest that must be there; raises KeyError where it is not."""
        manifest = self.find(kind, name)
        if manifest is None:
            raise KeyError(f"{self.name} has no {kind} {name}")
        return manifest

    @cached_property
    def namespace(self) -> str:
        """The namespace that everything is in, empty if there is none."""
        return next((manifest.name for manifest in self.of("Namespace")), "")

    @cached_property
    def workloads(self) -> list[Workload]:
        """Give everything that makes pods."""
        return [Workload(manifest) for manifest in self.of(*_MAKES_PODS)]

    def selected(self, selector: Mapping[str, Any] | None) -> list[Workload]:
        """Give the workloads whose pods a label selector (`matchLabels`, `matchExpressions`) means."""
        return [workload for workload in self.workloads if selects(selector, workload.labels)]


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Say whether a label selector means these labels; an empty one means all of them, None means nothing."""
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
            raise ValueError(f"no operator of label selectors: {operator}")
