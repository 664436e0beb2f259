"""Versions of images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from checks.kubernetes.images import check_images, compose_versions, differing
from checks.kubernetes.manifests import Rendering

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def run_image(overlay: Rendering, name: str, image: str) -> None:
    overlay.get("Deployment", name).spec["template"]["spec"]["containers"][0]["image"] = image


@pytest.mark.parametrize("image", ["redis", "redis:latest", "registry.example:5000/redis"])
def test_unpinned_image_is_found(rendered: Render, image: str) -> None:
    overlay = rendered("kind")
    assert not list(check_images(overlay))
    run_image(overlay, "redis", image)
    assert [finding.wrong for finding in check_images(overlay)] == [f"image {image} has no version"]


def test_production_uses_only_digests(rendered: Render) -> None:
    overlay = rendered("prod")
    assert not list(check_images(overlay))
    run_image(overlay, "hopline-users", "registry.example/hopline/users:v1.2.0")
    assert any("has no digest" in finding.wrong for finding in check_images(overlay))


def test_kubernetes_and_compose_use_the_same_versions(rendered: Render, root: Path) -> None:
    overlay, versions = rendered("kind"), compose_versions(root)
    assert versions["postgres"]
    assert not list(differing(overlay, versions))
    run_image(overlay, "redis", f"redis:{versions['redis']}@sha256:{'0' * 64}")
    assert not list(differing(overlay, versions))
    run_image(overlay, "redis", "redis:6")
    assert any("redis:6, but Compose runs" in finding.wrong for finding in differing(overlay, versions))
