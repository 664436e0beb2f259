"""The pytest commands that `make test` would run, from `make --dry-run`."""

import subprocess
from pathlib import Path

import pytest


def dry_run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return the commands that make would run."""
    command = ["make", "--dry-run", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours


class TestSelectedTests:
    @pytest.mark.parametrize("missing", ["nope", "nope/test_it.py::TestIt"])
    def test_make_fails_with_the_path_when_it_is_missing(self, root: Path, missing: str) -> None:
        done = dry_run(root, "test", f"T=services/orders {missing}")
        assert done.returncode == 2
        assert f"T={missing}: there is no such path" in done.stderr
        assert "pytest" not in done.stdout

    @pytest.mark.parametrize(
        "selection", ["", "services/orders shared", "tests/infra/test_make.py::TestSelectedTests", "shared -k spans"]
    )
    def test_pytest_receives_the_selection_when_its_paths_exist(self, root: Path, selection: str) -> None:
        done = dry_run(root, "test", f"T={selection}")
        assert done.returncode == 0, done.stderr
        assert f"-m pytest -n 4 {selection}" in done.stdout
