"""`python -m console top` with metrics that the OpenTelemetry SDK exports, and with responses of a fake Prometheus."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.apps import serve
from testkit.observatory import ExportedMetrics, Observatory, running_observatory

from .conftest import RunConsole

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def gateway_metrics(observatory: Observatory) -> Iterator[ExportedMetrics]:
    """Export metrics of a gateway that served one route five times, once with an error."""
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
    seen, deadline = b"", time.monotonic() + TIMEOUT_S
    while text.encode() not in seen and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.1)[0]:
            seen += os.read(descriptor, 65_536)
    assert text in seen.decode(errors="replace")
    return seen.decode(errors="replace")


def read_to_the_end(descriptor: int) -> None:
    """Read until the process has closed the terminal."""
    while select.select([descriptor], [], [], TIMEOUT_S)[0]:
        try:
            os.read(descriptor, 65_536)
        except OSError:  # the process closed its end of the terminal
            return


def prometheus(select_series: Callable[[str], list[dict[str, Any]]]) -> Starlette:
    """Return an application with Prometheus's query endpoint. `select_series` returns the result of a query."""

    async def query(request: Request) -> Response:
        result = select_series(request.query_params["query"])
        return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": result}})

    return Starlette(routes=[Route("/api/v1/query", query)])


def sample(value: str, **labels: str) -> dict[str, Any]:
    """Return one series of a result."""
    return {"metric": labels, "value": [time.time(), value]}


class TestWithoutATerminal:
    def test_table_is_printed_once_when_output_is_not_a_terminal(
        self, run_console: RunConsole, gateway_metrics: ExportedMetrics
    ) -> None:
        gateway_metrics.export()
        printed = run_console("top")

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

    def test_error_suggests_make_up_when_no_stack_is_running(self, run_console: RunConsole) -> None:
        printed = run_console("top", HOPLINE_PROMETHEUS_URL="http://127.0.0.1:9")

        assert printed.returncode == 1
        assert printed.stdout == ""
        assert printed.stderr.startswith("✗ cannot connect to http://127.0.0.1:9")
        assert "run make up" in printed.stderr

    def test_message_names_the_next_step_when_there_are_no_metrics(self, run_console: RunConsole) -> None:
        with running_observatory() as fresh:
            printed = run_console("top", HOPLINE_PROMETHEUS_URL=fresh.url("prometheus"))

        assert printed.returncode == 0
        assert printed.stdout.startswith("No metrics yet.")
        assert "place an order, or run make demo" in printed.stdout

    def test_error_names_the_variable_of_the_address_when_another_server_responds(
        self, run_console: RunConsole, observatory: Observatory
    ) -> None:
        printed = run_console("top", HOPLINE_PROMETHEUS_URL=observatory.url("loki"))

        assert printed.returncode == 1
        assert "got 404" in printed.stderr
        assert "Set HOPLINE_PROMETHEUS_URL to the address of Prometheus" in printed.stderr


class TestWithPrometheus:
    async def test_ratio_without_values_is_shown_as_zero_or_dash(self, run_console: RunConsole) -> None:
        def select_series(query: str) -> list[dict[str, Any]]:
            """Return one rate of requests. A ratio without values is NaN in Prometheus."""
            is_request_rate = query.startswith("sum by (service_name) (rate(http_server_request_duration_seconds_count")
            value = "NaN" if "/" in query else "2.5"
            return [sample(value, service_name="orders")] if is_request_rate else []

        async with serve(prometheus(select_series)) as url:
            printed = await asyncio.to_thread(run_console, "top", HOPLINE_PROMETHEUS_URL=url)

        assert printed.returncode == 0, printed.stderr
        [line] = printed.stdout.splitlines()
        assert line.split()[:4] == ["services", "orders", "rate", "2.5/s"]
        assert "errors 0 %" in line
        assert "p50 –" in line

    @pytest.mark.parametrize(
        ("value", "rate", "count"),
        [
            ("0", "0", "0"),
            ("0.00002", "0.0012/min", "0.00002"),
            ("0.005", "0.3/min", "0.005"),
            ("99.96", "100/s", "100"),
            ("1234.5", "1234/s", "1234"),
            ("1500000", "1500000/s", "1500000"),
        ],
    )
    async def test_figures_have_three_significant_digits_and_no_exponent(
        self, run_console: RunConsole, value: str, rate: str, count: str
    ) -> None:
        def select_series(query: str) -> list[dict[str, Any]]:
            shed_rate, outbox = (
                "sum by (service_name) (rate(hopline_gateway_shed_total",
                "max by (messaging_destination_name)",
            )
            return [sample(value)] if query.startswith((shed_rate, outbox)) else []

        async with serve(prometheus(select_series)) as url:
            printed = await asyncio.to_thread(run_console, "top", HOPLINE_PROMETHEUS_URL=url)

        gateway, outbox = printed.stdout.splitlines()
        assert f"  shed {rate}  " in gateway
        assert f"  depth {count}  " in outbox


class TestOnATerminal:
    @pytest.mark.parametrize("key", [b"q", b"Q", b"\x1b[Aq", b""], ids=["q", "Q", "arrow key, then q", "Ctrl-C"])
    def test_table_is_refreshed_until_q_or_ctrl_c(
        self, observatory: Observatory, gateway_metrics: ExportedMetrics, key: bytes
    ) -> None:
        terminal, process_end = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "60"}
        running = subprocess.Popen(
            [sys.executable, "-m", "console", "top"],
            env={**environment, "HOPLINE_PORT_OFFSET": str(observatory.offset)},
            stdin=process_end,
            stdout=process_end,
            stderr=process_end,
        )
        os.close(process_end)
        try:
            for _ in range(2):  # a rate needs two points within the last minute
                gateway_metrics.export()
            assert "Routes" in read_until(terminal, "/v2/orders")
            read_until(terminal, "/v2/orders")  # the next refresh draws the table again
            if key:
                os.write(terminal, key)
            else:
                running.send_signal(signal.SIGINT)
            read_to_the_end(terminal)
            assert running.wait(timeout=TIMEOUT_S) == 0
        finally:
            running.kill()
            running.wait()
            os.close(terminal)
