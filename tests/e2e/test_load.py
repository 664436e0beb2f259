"""`make load`: its requests succeed, its orders cause notifications, and its limits fail the run."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

LOCUSTFILE = "loadtests/locustfile.py"
LENIENT_P95_MS = "60000"
"""A limit that responses do not exceed on a busy machine."""


class RunLocust(Protocol):
    def __call__(self, *options: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run_locust(stack: Stack, pytestconfig: pytest.Config) -> RunLocust:
    """Return a function that runs four shoppers against the stack, with additional options of Locust."""

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "locust", "--locustfile", str(pytestconfig.rootpath / LOCUSTFILE)]
        command += ["--headless", "--users", "4", "--spawn-rate", "4", "--stop-timeout", "15", *options]
        environment = stack.environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    return run


class TestShoppers:
    def test_shoppers_receive_notifications_of_their_orders_without_failures(
        self, run_locust: RunLocust, tmp_path: Path
    ) -> None:
        done = run_locust(
            *("--tags", "order", "--run-time", "4s", "--csv", str(tmp_path / "load")),
            *("--max-failures", "0", "--max-p95-ms", LENIENT_P95_MS),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "passed: " in done.stdout
        with (tmp_path / "load_stats.csv").open() as file:
            counts = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
        # An order without a frame counts as a failure, so it has failed the run above.
        assert 0 < counts["order placed → frame"] <= counts["/v2/orders"]

    def test_load_test_fails_when_responses_are_too_slow(self, run_locust: RunLocust) -> None:
        done = run_locust("--run-time", "1s", "--max-p95-ms", "0")
        assert done.returncode == 1
        assert "FAILED: " in done.stdout

    def test_load_test_stops_with_advice_when_there_is_no_stack(self, run_locust: RunLocust) -> None:
        done = run_locust("--run-time", "1s", "--host", "http://localhost:1")
        assert done.returncode == 1
        assert "cannot connect to http://localhost:1: start Hopline first (make up)" in done.stderr
        assert "Traceback" not in done.stderr
