"""Secrets of the repository are marked as development secrets."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from checks.kubernetes.manifests import Rendering
from checks.kubernetes.rendering import FOLDER, copy_aside, render
from checks.kubernetes.secrets import check_secrets
from checks.kubernetes.settings import environment
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
    assert "orders is not marked as public" in finding.wrong


def test_password_in_an_address_is_found(rendered: Render) -> None:
    overlay = rendered("kind")
    (secret,) = [secret for secret in overlay.of("Secret") if secret.name.startswith("hopline-gateway")]
    secret.body["data"]["redis-url"] = b64encode(b"redis://:hunter2@redis:6379/0").decode()
    assert "redis-url" in next(check_secrets(overlay)).wrong


def test_production_with_the_stores_of_development_is_rejected(root: Path, tmp_path: Path) -> None:
    folder = copy_aside(root, tmp_path)
    assert folder == tmp_path / FOLDER
    found = list(check_secrets(render(folder, "prod", ["development-stores"])))
    assert any("production uses a Secret of the repository" in finding.wrong for finding in found)


def test_overlay_of_kind_needs_no_generated_file(root: Path) -> None:
    """`kubectl apply -k` works on a fresh clone, without generating files first."""
    files = [
        path.parent / entry.rpartition("=")[2]
        for path in (root / "infra/k8s").rglob("kustomization.yaml")
        for generator in yaml.safe_load(path.read_text()).get("secretGenerator", [])
        for entry in generator.get("files", [])
    ]
    assert files
    assert [file for file in files if not file.is_file()] == []
