"""`python -m console top` over metrics that a real SDK sent."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.apps import serve
from testkit.observatory import ExportedMetrics, Observatory, running_observatory

from .conftest import Command

SECONDS = 60


@pytest.fixture(scope="module")
def process(observatory: Observatory) -> Iterator[ExportedMetrics]:
    """Metrics of a gateway that served one route five times, once with an error."""
    gateway = ExportedMetrics(observatory, "gateway")
    requests = gateway.meter.create_histogram(
        "http.server.request.duration", unit="s", explicit_bucket_boundaries_advisory=[0.01, 0.1, 1]
    )
    for status in (201, 201, 201, 201, 503):
        labels = {"http.request.method": "POST", "http.route": "/v2/orders", "http.response.status_code": status}
        requests.record(0.005, labels)
    gateway.meter.create_gauge("hopline.gateway.circuit.state").set(2, {"service.peer.name": "orders\x1b[31m"})
    gateway.export()
    yield gateway
    gateway.close()


def read_until(descriptor: int, text: str) -> str:
    """Read from the terminal until its output contains the text, and return the output."""
    seen, deadline = b"", time.monotonic() + SECONDS
    while text.encode() not in seen and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.1)[0]:
            seen += os.read(descriptor, 65_536)
    assert text in seen.decode(errors="replace")
    return seen.decode(errors="replace")


def read_to_the_end(descriptor: int) -> None:
    """Read until the process has closed the terminal."""
    while select.select([descriptor], [], [], SECONDS)[0]:
        try:
            os.read(descriptor, 65_536)
        except OSError:  # a terminal reports in this way that its other end is closed
            return


class TestWithoutATerminal:
    def test_table_is_printed_once_when_output_is_not_a_terminal(
        self, command: Command, process: ExportedMetrics
    ) -> None:
        process.export()
        printed = command("top")

        assert printed.returncode == 0, printed.stderr
        assert "\x1b" not in printed.stdout
        [route] = [line.split() for line in printed.stdout.splitlines() if line.startswith("routes ")]
        assert route[:4] == ["routes", "gateway", "POST", "/v2/orders"]
        figures = " ".join(route[4:])
        assert "/min errors 20 %" in figures
        assert "p50 5.00 ms" in figures
        [circuit] = [line for line in printed.stdout.splitlines() if line.startswith("circuits ")]
        assert "orders·[31m" in circuit
        assert "circuit open" in circuit

    def test_error_names_make_up_when_nothing_runs(self, command: Command) -> None:
        printed = command("top", HOPLINE_PROMETHEUS_URL="http://127.0.0.1:9")

        assert printed.returncode == 1
        assert printed.stdout == ""
        assert printed.stderr.startswith("✗ cannot connect to http://127.0.0.1:9")
        assert "run make up" in printed.stderr

    def test_message_names_the_next_step_when_there_are_no_metrics(self, command: Command) -> None:
        with running_observatory() as fresh:
            printed = command("top", HOPLINE_PROMETHEUS_URL=fresh.url("prometheus"))

        assert printed.returncode == 0
        assert printed.stdout.startswith("No metrics yet.")

    def test_error_names_the_query_api_when_another_server_responds(
        self, command: Command, observatory: Observatory
    ) -> None:
        printed = command("top", HOPLINE_PROMETHEUS_URL=observatory.url("loki"))

        assert printed.returncode == 1
        assert "got 404" in printed.stderr
        assert "Needed is Prometheus's query API" in printed.stderr


class TestWithPrometheus:
    async def test_responses_of_prometheus_are_read(self, command: Command) -> None:
        """Prometheus returns NaN for a ratio of nothing, and a label `service_name` for each service."""

        async def query(request: Request) -> Response:
            text = request.query_params["query"]
            ours = text.startswith("sum by (service_name) (rate(http_server_request_duration_seconds_count")
            value = "NaN" if "/" in text else "2.5"
            result = [{"metric": {"service_name": "orders"}, "value": [time.time(), value]}] if ours else []
            return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": result}})

        async with serve(Starlette(routes=[Route("/api/v1/query", query)])) as url:
            printed = await asyncio.to_thread(command, "top", HOPLINE_PROMETHEUS_URL=url)

        assert printed.returncode == 0, printed.stderr
        [line] = printed.stdout.splitlines()
        assert line.split()[:4] == ["services", "orders", "rate", "2.5/s"]
        assert "errors 0 %" in line
        assert "p50 –" in line

    @pytest.mark.parametrize(
        ("value", "rate", "count"),
        [
            ("0", "0", "0"),
            ("0.005", "0.3/min", "0.005"),
            ("99.96", "100/s", "100"),
            ("1234.5", "1234/s", "1234"),
            ("1500000", "1500000/s", "1500000"),
        ],
    )
    async def test_figures_have_at_least_three_digits_and_no_exponent(
        self, command: Command, value: str, rate: str, count: str
    ) -> None:
        figures = {"sum by (service_name) (rate(hopline_gateway_shed_total", "max by (messaging_destination_name)"}

        async def query(request: Request) -> Response:
            ours = request.query_params["query"].startswith(tuple(figures))
            result = [{"metric": {}, "value": [time.time(), value]}] if ours else []
            return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": result}})

        async with serve(Starlette(routes=[Route("/api/v1/query", query)])) as url:
            printed = await asyncio.to_thread(command, "top", HOPLINE_PROMETHEUS_URL=url)

        gateway, outbox = printed.stdout.splitlines()
        assert f"  shed {rate}  " in gateway
        assert f"  depth {count}  " in outbox


class TestOnATerminal:
    @pytest.mark.parametrize("key", [b"q", b"Q", b"\x1b[Aq", b""], ids=["q", "Q", "arrow key, then q", "Ctrl-C"])
    def test_table_is_refreshed_until_the_process_ends(
        self, observatory: Observatory, process: ExportedMetrics, key: bytes
    ) -> None:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "60"}
        running = subprocess.Popen(
            [sys.executable, "-m", "console", "top"],
            env={**environment, "HOPLINE_PORT_OFFSET": str(observatory.offset)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            for _ in range(2):  # a rate needs two points within the last minute
                process.export()
            assert "Routes" in read_until(ours, "/v2/orders")
            read_until(ours, "/v2/orders")  # drawn again
            if key:
                os.write(ours, key)
            else:
                running.send_signal(signal.SIGINT)
            read_to_the_end(ours)
            assert running.wait(timeout=SECONDS) == 0
        finally:
            running.kill()
            running.wait()
            os.close(ours)
