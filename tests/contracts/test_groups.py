"""Tests of one group run in one process, so that at most two whole systems run at a time."""

import subprocess
import sys
from pathlib import Path

CONFIGURATION = Path(__file__).parents[2] / "pyproject.toml"
TESTS = 8
MODULE = f"""
import os
import pathlib
import pytest

@pytest.mark.xdist_group("stack")
@pytest.mark.parametrize("number", range({TESTS}))
def test_process(number):
    pathlib.Path(__file__).with_name(str(number) + ".process").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_tests_of_one_group_run_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-n", "2", "-c", str(CONFIGURATION), "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603
    processes = [file.read_text() for file in tmp_path.glob("*.process")]
    assert len(processes) == TESTS, done.stdout
    assert len(set(processes)) == 1
