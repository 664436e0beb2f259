"""Fixtures of the tests of the Makefile and of the scripts for Kubernetes."""

from pathlib import Path

import pytest
from tests.infra.script_runner import ScriptRunner


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the repository."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def runner(tmp_path: Path, root: Path) -> ScriptRunner:
    return ScriptRunner(tmp_path, root / "infra/k8s")
