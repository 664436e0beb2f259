"""The benchmarks run, and fail if responses are wrong. Measured speeds depend on the machine and are not checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bench.dashboard import CONFIGURATIONS
from bench.figures import Effort, at_least, at_most
from bench.load import Load, LoadFailedError, drive
from testkit.apps import serve

SHORT_EFFORT = Effort(rounds=1, seconds=0.2, warmup_seconds=0)
SPANS_PER_DASHBOARD = 4
"""One SERVER span and three CLIENT spans."""


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TestCommand:
    def test_command_prints_and_saves_the_figures_of_the_dashboard(self, tmp_path: Path) -> None:
        completed = run_bench("dashboard", "--glance", "--results", str(tmp_path))
        assert completed.returncode == 0, completed.stderr
        assert "drop-ins / textbook, throughput" in completed.stdout
        saved = json.loads((tmp_path / "dashboard.json").read_text())
        targets = {figure["name"]: figure for figure in saved["figures"] if figure["target"]}
        assert targets["standard / bare, throughput"]["target"] == {"better": "higher", "bound": 16}
        assert targets["drop-ins / bare, throughput"]["target"] == {"better": "higher", "bound": 25}
        assert all(figure["reached"] in (True, False) for figure in targets.values())
        generator_load = {
            figure["name"].partition(":")[0]: figure["value"]
            for figure in saved["figures"]
            if "load generator" in figure["name"]
        }
        assert generator_load.keys() == {"textbook", "bare", *CONFIGURATIONS}
        assert all(percent > 0 for percent in generator_load.values())
        spans = next(figure for figure in saved["figures"] if figure["name"] == "Hopline: spans")
        assert spans["value"] == pytest.approx(SPANS_PER_DASHBOARD, rel=0.05)  # every request is traced

    def test_command_compares_orders_with_the_same_statements_on_asyncpg(self, tmp_path: Path) -> None:
        completed = run_bench("orders", "--glance", "--results", str(tmp_path))
        assert completed.returncode == 0, completed.stderr
        saved = json.loads((tmp_path / "orders.json").read_text())
        figures = {figure["name"]: figure["value"] for figure in saved["figures"]}
        assert figures["bare: throughput"] > 0
        assert figures["drop-ins / bare asyncpg, throughput"] > 0

    def test_command_lists_the_known_benchmarks_when_the_name_is_unknown(self) -> None:
        completed = run_bench("nothing")
        assert completed.returncode == 2
        assert completed.stderr.strip().startswith("Unknown benchmark 'nothing'. Expected one of: dashboard")


class TestTarget:
    def test_minimum_is_reached_by_its_bound_and_not_by_a_lower_value(self) -> None:
        assert at_least(5).reached_by(5)
        assert not at_least(5).reached_by(4.9)

    def test_maximum_is_reached_by_its_bound_and_not_by_a_higher_value(self) -> None:
        assert at_most(5).reached_by(5)
        assert not at_most(5).reached_by(5.1)


class RequestRecorder:
    """An ASGI application that records the keys and bodies of its requests, and responds with `status`."""

    def __init__(self, *, status: int) -> None:
        self.keys: list[str] = []
        self.bodies: list[str] = []
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        request = Request(scope, receive)
        self.bodies.append((await request.body()).decode())
        self.keys.append(request.headers["Idempotency-Key"])
        await Response(b"{}", self._status)(scope, receive, send)


LOAD = Load(
    method="POST",
    path="/orders",
    headers={"Idempotency-Key": "key-{unique}"},
    body="product {n}",
    connections=3,
    expected_status=201,
)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


class TestLoad:
    async def test_load_counts_the_measured_responses(self) -> None:
        app = RequestRecorder(status=201)
        async with serve(app) as url:
            outcome = await drive(LOAD, port=port_of(url), effort=SHORT_EFFORT)
        assert 0 < outcome.requests <= len(app.keys)
        assert 0 < outcome.p50_ms <= outcome.p99_ms

    async def test_load_replaces_the_placeholders_of_each_request(self) -> None:
        app = RequestRecorder(status=201)
        async with serve(app) as url:
            await drive(LOAD, port=port_of(url), effort=SHORT_EFFORT)
        assert len(set(app.keys)) == len(app.keys)
        assert {"product 001", "product 002", "product 003"} <= set(app.bodies)  # each connection sends at least one

    async def test_load_raises_an_error_when_a_response_has_another_status(self) -> None:
        async with serve(RequestRecorder(status=500)) as url:
            with pytest.raises(LoadFailedError, match=r"[1-9]\d* failures"):
                await drive(LOAD, port=port_of(url), effort=SHORT_EFFORT)
