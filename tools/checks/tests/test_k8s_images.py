"""Images are pinned, with the same versions as in Compose."""

from collections.abc import Callable
from pathlib import Path

import pytest

from checks.kubernetes.images import check_images, compare_versions, compose_versions
from checks.kubernetes.manifests import Rendering

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def set_image(overlay: Rendering, deployment: str, image: str) -> None:
    overlay.get("Deployment", deployment).spec["template"]["spec"]["containers"][0]["image"] = image


@pytest.mark.parametrize("image", ["redis", "redis:latest", "registry.example:5000/redis"])
def test_unpinned_image_is_found(rendered: Render, image: str) -> None:
    overlay = rendered("kind")
    assert not list(check_images(overlay))
    set_image(overlay, "redis", image)
    assert [finding.problem for finding in check_images(overlay)] == [f"image {image} has no version"]


def test_image_in_production_is_found_when_it_has_no_digest(rendered: Render) -> None:
    overlay = rendered("prod")
    assert not list(check_images(overlay))
    set_image(overlay, "hopline-users", "registry.example/hopline/users:v1.2.0")
    assert any("has no digest" in finding.problem for finding in check_images(overlay))


def test_image_is_found_when_compose_has_another_version(rendered: Render, root: Path) -> None:
    overlay, versions = rendered("kind"), compose_versions(root)
    assert versions["postgres"]
    assert not list(compare_versions(overlay, versions))
    digest = f"sha256:{'0' * 64}"
    set_image(overlay, "redis", f"redis:{versions['redis']}@{digest}")
    assert not list(compare_versions(overlay, versions))
    set_image(overlay, "redis", "redis:6")
    assert any("redis:6, but Compose runs" in finding.problem for finding in compare_versions(overlay, versions))
