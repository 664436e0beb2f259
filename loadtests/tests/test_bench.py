"""The benchmarks run, and fail if responses are wrong. The figures depend on the machine and are not checked."""

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

SHORT = Effort(rounds=1, seconds=0.2, warmup_seconds=0)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TestCommand:
    def test_bench_measures_prints_and_saves(self, tmp_path: Path) -> None:
        done = bench("dashboard", "--glance", "--results", str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert "drop-ins / textbook, throughput" in done.stdout
        saved = json.loads((tmp_path / "dashboard.json").read_text())
        targets = {figure["name"]: figure for figure in saved["figures"] if figure["target"]}
        assert targets["standard / bare, throughput"]["target"] == {"better": "higher", "bound": 16}
        assert targets["drop-ins / bare, throughput"]["target"] == {"better": "higher", "bound": 25}
        assert all(figure["reached"] in (True, False) for figure in targets.values())
        busy = {figure["name"]: figure["value"] for figure in saved["figures"] if "load generator" in figure["name"]}
        assert {name.partition(":")[0] for name in busy} == {"textbook", "bare", *CONFIGURATIONS}
        assert all(percent > 0 for percent in busy.values())
        spans = next(figure for figure in saved["figures"] if figure["name"] == "Hopline: spans")
        assert spans["value"] == pytest.approx(4, rel=0.05)  # every request traced

    def test_orders_are_compared_with_their_statements_on_asyncpg_alone(self, tmp_path: Path) -> None:
        done = bench("orders", "--glance", "--results", str(tmp_path))
        assert done.returncode == 0, done.stderr
        saved = json.loads((tmp_path / "orders.json").read_text())
        figures = {figure["name"]: figure["value"] for figure in saved["figures"]}
        assert figures["bare: throughput"] > 0
        assert figures["drop-ins / bare asyncpg, throughput"] > 0

    def test_unknown_name_lists_the_known_names(self) -> None:
        done = bench("nothing")
        assert done.returncode == 2
        assert done.stderr.strip().startswith("Unknown benchmark 'nothing'. Expected one of: dashboard")


class TestTarget:
    def test_target_is_reached_in_its_better_direction(self) -> None:
        assert at_least(5).reached_by(5)
        assert not at_least(5).reached_by(4.9)
        assert at_most(5).reached_by(5)
        assert not at_most(5).reached_by(5.1)


class Counter:
    """An ASGI application that records the received keys."""

    def __init__(self, *, status: int) -> None:
        self.keys: list[str] = []
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        request = Request(scope, receive)
        assert await request.body() == b'{"a":1}'
        self.keys.append(request.headers["Idempotency-Key"])
        await Response(b"{}", self._status)(scope, receive, send)


LOAD = Load(
    method="POST",
    path="/orders",
    headers={"Idempotency-Key": "key-{unique}"},
    body='{"a":1}',
    connections=3,
    expected_status=201,
)


class TestLoad:
    async def test_responses_are_counted_and_numbers_are_unique(self) -> None:
        app = Counter(status=201)
        async with serve(app) as url:
            outcome = await drive(LOAD, port=int(url.rpartition(":")[2]), effort=SHORT)
        assert 0 < outcome.requests <= len(app.keys)
        assert 0 < outcome.p50_ms <= outcome.p99_ms
        assert len(set(app.keys)) == len(app.keys)

    async def test_error_is_raised_when_a_response_is_unexpected(self) -> None:
        async with serve(Counter(status=500)) as url:
            with pytest.raises(LoadFailedError, match=r"[1-9]\d* failures"):
                await drive(LOAD, port=int(url.rpartition(":")[2]), effort=SHORT)
