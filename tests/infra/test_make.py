"""The commands that make would run, from `make --dry-run`."""

import subprocess
from pathlib import Path

import pytest


def make(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--dry-run", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours


class TestSelectedTests:
    @pytest.mark.parametrize("missing", ["nope", "nope/test_it.py::TestIt"])
    def test_make_fails_with_the_path_when_it_is_missing(self, root: Path, missing: str) -> None:
        made = make(root, "test", f"T=services/orders {missing}")
        assert made.returncode == 2
        assert f"T={missing}: there is no such path" in made.stderr
        assert "pytest" not in made.stdout

    @pytest.mark.parametrize(
        "some", ["", "services/orders shared", "tests/infra/test_make.py::TestSelectedTests", "shared -k spans"]
    )
    def test_pytest_receives_existing_paths(self, root: Path, some: str) -> None:
        made = make(root, "test", f"T={some}")
        assert made.returncode == 0, made.stderr
        assert f"-m pytest -n 4 {some}" in made.stdout
