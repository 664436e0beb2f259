"""Secrets of the repository are marked as development secrets."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from checks.files import tracked_files
from checks.kubernetes.manifests import Rendering
from checks.kubernetes.rendering import KUBECTL, copy_manifests, render
from checks.kubernetes.secrets import check_secrets
from checks.kubernetes.settings import environment
from checks.programs import Program
from users.keys import load_private_keys

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


@pytest.mark.parametrize("overlay", ["kind", "kind-telemetry", "prod"])
def test_secrets_of_the_repository_are_marked(rendered: Render, overlay: str) -> None:
    assert not list(check_secrets(rendered(overlay)))


def test_signing_key_of_kind_is_readable(rendered: Render) -> None:
    overlay = rendered("kind")
    (users,) = [workload for workload in overlay.workloads if workload.name == "hopline-users"]
    key = environment(overlay, users, users.pod["containers"][0])["SIGNING_KEY"]
    assert len(load_private_keys(key)) == 1


def test_unmarked_secret_is_found(rendered: Render) -> None:
    overlay = rendered("kind")
    overlay.get("Secret", "postgres").body["data"]["orders"] = b64encode(b"hunter2").decode()
    (finding,) = check_secrets(overlay)
    assert "orders is not marked as a development secret" in finding.problem


def test_unmarked_password_in_an_address_is_found(rendered: Render) -> None:
    overlay = rendered("kind")
    (secret,) = [secret for secret in overlay.of("Secret") if secret.name.startswith("hopline-gateway")]
    secret.body["data"]["redis-url"] = b64encode(b"redis://:hunter2@redis:6379/0").decode()
    assert "redis-url" in next(check_secrets(overlay)).problem


def test_secret_is_found_when_production_uses_the_development_stores(
    root: Path, tmp_path: Path, require: Callable[[Program], None]
) -> None:
    require(KUBECTL)
    overlay = render(copy_manifests(root, tmp_path), "prod", ["development-stores"])
    found = list(check_secrets(overlay))
    assert any("production uses a Secret of the repository" in finding.problem for finding in found)


def test_files_of_secret_generators_are_in_the_repository(root: Path) -> None:
    """`kubectl apply -k` works on a fresh clone, without generating files first."""
    files = [
        path.parent / entry.rpartition("=")[2]
        for path in (root / "infra/k8s").rglob("kustomization.yaml")
        for generator in yaml.safe_load(path.read_text()).get("secretGenerator", [])
        for entry in generator.get("files", [])
    ]
    assert files
    assert {file.resolve().relative_to(root) for file in files} <= set(tracked_files(root))
