"""The requests of `make load` succeed, and its orders cause notifications."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

LOCUSTFILE = "loadtests/locustfile.py"
MANY_MS = "60000"


class Shop(Protocol):
    def __call__(self, *options: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def shop(stack: Stack, pytestconfig: pytest.Config) -> Shop:
    """Run shoppers against the stack."""

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "locust", "--locustfile", str(pytestconfig.rootpath / LOCUSTFILE)]
        command += ["--headless", "--users", "4", "--spawn-rate", "4", "--stop-timeout", "15", *options]
        environment = stack.environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    return run


class TestShoppers:
    def test_shoppers_receive_their_orders_without_failures(self, shop: Shop, tmp_path: Path) -> None:
        report = tmp_path / "load"
        done = shop(
            *("--tags", "order", "--run-time", "4s", "--csv", str(report)),
            *("--max-failures", "0", "--max-p95-ms", MANY_MS),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "passed: " in done.stdout
        with report.with_name("load_stats.csv").open() as file:
            responded = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
        assert 0 < responded["order placed → frame"] <= responded["/v2/orders"]  # a missing frame is a failure above

    def test_load_test_fails_when_responses_are_too_slow(self, shop: Shop) -> None:
        done = shop("--run-time", "1s", "--max-p95-ms", "0")
        assert done.returncode == 1
        assert "FAILED: " in done.stdout

    def test_load_test_stops_with_advice_when_there_is_no_stack(self, shop: Shop) -> None:
        done = shop("--run-time", "1s", "--host", "http://localhost:1")
        assert done.returncode == 1
        assert "cannot connect to http://localhost:1: start Hopline first (make up)" in done.stderr
        assert "Traceback" not in done.stderr
