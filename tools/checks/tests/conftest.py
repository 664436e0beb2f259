"""Fixtures for tests of the validators. Manifests are rendered once and copied for each test."""

import os
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

from checks.kubernetes.manifests import Rendering
from checks.kubernetes.rendering import KUBECTL, copy_manifests, render
from checks.programs import Program
from testkit.checkout import Checkout

ROOT = Path(__file__).resolve().parents[3]

Render = Callable[..., Rendering]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def k8s_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `infra/k8s` and of the configurations that it uses."""
    if KUBECTL.path() is None and os.environ.get("CI") != "true":
        pytest.skip(f"{KUBECTL.name} not found: {KUBECTL.install_hint}")
    return copy_manifests(ROOT, tmp_path_factory.mktemp("manifests"))


@pytest.fixture(scope="session")
def rendered_once(k8s_folder: Path) -> Render:
    """`rendered_once("kind", "keda")`: an overlay with components, which all tests share and must not change."""
    return cache(lambda overlay, *components: render(k8s_folder, overlay, components))


@pytest.fixture
def rendered(rendered_once: Render) -> Render:
    """`rendered("kind", "keda")`: a copy of an overlay with components, which the test may change."""
    return lambda overlay, *components: deepcopy(rendered_once(overlay, *components))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy of the configurations of containers and telemetry, which the test may change."""
    folders = ("compose", "docker", "otel-collector", "jaeger", "loki", "prometheus", "grafana")
    components = ("development-stores", "development-telemetry")
    files = (".dockerignore", ".yamllint.yaml", "docs/runbook.md")
    copied = [*(f"infra/{folder}" for folder in folders), *(f"infra/k8s/components/{name}" for name in components)]
    return Checkout.of(ROOT, [*copied, *files], into=tmp_path)


@pytest.fixture
def require() -> Callable[[Program], None]:
    """`require(program)`: skip the test if the program is missing, or fail in CI."""

    def require_program(program: Program) -> None:
        if program.path() is None:
            assert os.environ.get("CI") != "true", f"{program.name} is missing: {program.install_hint}"
            pytest.skip(f"{program.name} not found: {program.install_hint}")

    return require_program
