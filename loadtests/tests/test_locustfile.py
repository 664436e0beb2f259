"""The load test reads its settings like the other programs. `tests/e2e/test_load.py` runs it against a stack."""

import os
import subprocess
import sys
from pathlib import Path

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"


def test_load_test_rejects_the_port_offset_with_its_limits_when_it_is_negative() -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "HOPLINE_GATEWAY_URL"}
    command = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--run-time", "1s"]
    done = subprocess.run(
        command, env={**inherited, "HOPLINE_PORT_OFFSET": "-5"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "HOPLINE_PORT_OFFSET='-5': expected a whole number from 0 to 39103\n"
