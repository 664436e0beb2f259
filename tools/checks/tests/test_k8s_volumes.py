"""Volume claims, and the storage of report files."""

from collections.abc import Callable

import pytest

from checks.kubernetes.manifests import Object, Rendering
from checks.kubernetes.volumes import check_volumes

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def pod(overlay: Rendering, name: str) -> Object:
    spec: Object = overlay.get("Deployment", name).spec["template"]["spec"]
    return spec


def settings(overlay: Rendering, name: str) -> dict[str, str]:
    (found,) = [config_map for config_map in overlay.of("ConfigMap") if config_map.name.rsplit("-", 1)[0] == name]
    data: dict[str, str] = found.body["data"]
    return data


def omit_the_claim(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("PersistentVolumeClaim", "objects"))


def omit_the_mount(overlay: Rendering) -> None:
    pod(overlay, "hopline-report-workers")["containers"][0]["volumeMounts"].pop()


def mount_read_only(overlay: Rendering) -> None:
    pod(overlay, "hopline-report-workers")["containers"][0]["volumeMounts"][-1]["readOnly"] = True


def write_outside_the_mount(overlay: Rendering) -> None:
    settings(overlay, "hopline-report-workers")["OBJECT_STORE_URL"] = "file:///var/lib/objects"


def omit_the_volumes(overlay: Rendering) -> None:
    for name in ("hopline-orders", "hopline-report-workers"):
        pod(overlay, name)["volumes"].pop()


def read_from_another_folder(overlay: Rendering) -> None:
    settings(overlay, "hopline-orders")["OBJECT_STORE_URL"] = "file:///var/lib/hopline/elsewhere"


MISTAKES: list[tuple[Callable[[Rendering], None], str]] = [
    (omit_the_claim, "it needs PersistentVolumeClaim objects, which does not exist"),
    (omit_the_mount, "OBJECT_STORE_URL=file:///var/lib/hopline/objects: no claim is mounted there"),
    (mount_read_only, "OBJECT_STORE_URL=file:///var/lib/hopline/objects: no claim is mounted there"),
    (write_outside_the_mount, "OBJECT_STORE_URL=file:///var/lib/objects: no claim is mounted there"),
    (omit_the_volumes, "nothing mounts it"),
    (
        read_from_another_folder,
        "reports are at objects:/var/lib/hopline/elsewhere and objects:/var/lib/hopline/objects",
    ),
]


@pytest.mark.parametrize(("mutate", "expected"), MISTAKES, ids=lambda value: getattr(value, "__name__", ""))
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind")
    assert not list(check_volumes(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_volumes(overlay))


def test_different_buckets_are_found(rendered: Render) -> None:
    overlay = rendered("prod")
    assert not list(check_volumes(overlay))
    settings(overlay, "hopline-orders")["OBJECT_STORE_URL"] = "s3://other"
    assert [finding.problem for finding in check_volumes(overlay)] == [
        "reports are at s3://hopline-reports and s3://other"
    ]
