"""Errors that only the log of the observatory contains."""

from pathlib import Path

import pytest

from testkit.observatory import running_observatory


def test_test_fails_when_the_observatory_writes_a_stack_trace(tmp_path: Path) -> None:
    module = tmp_path / "sitecustomize.py"  # Python imports it at its start
    module.write_text("import threading\nthreading.Thread(target=lambda: 1 / 0).start()\n")
    with pytest.raises(AssertionError, match="ZeroDivisionError"), running_observatory(PYTHONPATH=str(tmp_path)):
        pass
