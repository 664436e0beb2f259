"""Images are pinned by tag or digest, in the versions of Compose. Hopline's images in production need a digest."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from checks.findings import Finding
from checks.kubernetes.manifests import Rendering
from checks.kubernetes.rendering import for_each

BY_DIGEST = ("overlays/prod",)
"""Overlays in which Hopline's images need a digest."""

OURS = re.compile(r"(^|/)hopline/")
_IMAGE = re.compile(r"^(?P<name>[^@]+?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?$")
_COMPOSE = Path("infra/compose")


def check_images(rendering: Rendering) -> Iterator[Finding]:
    """Report images whose content can change."""
    for workload in rendering.workloads:
        for container in workload.containers:
            match = _IMAGE.match(container["image"])
            if match is None or not (match["digest"] or match["tag"]) or match["tag"] == "latest":
                yield Finding(workload.place, f"image {container['image']} has no version", "use a tag or a digest")
            elif not match["digest"] and OURS.search(match["name"]) and rendering.name.startswith(BY_DIGEST):
                yield Finding(
                    workload.place,
                    f"image {container['image']} has no digest",
                    "pin it by digest in overlays/prod/images",
                )


def check_versions(root: Path) -> Iterator[Finding]:
    """Report third-party images with another version than in Compose."""
    versions = compose_versions(root)
    return for_each(lambda rendering: compare_versions(rendering, versions))(root)


def compare_versions(rendering: Rendering, versions: Mapping[str, str]) -> Iterator[Finding]:
    """Report images whose tag differs from that in `versions`, which has tags by image name."""
    for workload in rendering.workloads:
        for container in workload.containers:
            name, tag = _split(container["image"])
            if not OURS.search(name) and versions.get(name, tag) != tag:
                problem = f"image {name}:{tag}, but Compose runs {versions[name]}"
                yield Finding(workload.place, problem, "use one version in both")


def compose_versions(root: Path) -> dict[str, str]:
    """Return the tags in the Compose files by image name."""
    files = (yaml.safe_load(path.read_text()) or {} for path in sorted((root / _COMPOSE).glob("*.yaml")))
    services = [service for file in files for service in (file.get("services") or {}).values()]
    return dict(_split(service["image"]) for service in services if "image" in service)


def _split(image: str) -> tuple[str, str]:
    """Return name and tag. A registry may have a port, and a digest may follow the tag."""
    match = _IMAGE.match(image)
    return (match["name"], match["tag"] or "") if match else (image, "")
