"""`python -m console trace ID` with spans and log records that the OpenTelemetry SDK exports."""

import asyncio
import os
import secrets
import subprocess
import sys

import pytest
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from console.backends import MAX_LOG_RECORDS
from testkit.apps import serve
from testkit.observatory import CreateTelemetry, Observatory, export_exception, trace_id_of

from .conftest import RunConsole

SECOND_NS = 1_000_000_000
START_NS = 1_790_000_000 * SECOND_NS


@pytest.fixture
def order(observatory: Observatory, create_telemetry: CreateTelemetry) -> str:
    """Export the trace of an order, and return its id.

    The request takes 20 ms. The job starts after 2 s, fails once, and starts again after 2.5 s.
    """
    gateway, workers = create_telemetry(observatory, "gateway"), create_telemetry(observatory, "workers")

    def at(milliseconds: int) -> int:
        return START_NS + milliseconds * 1_000_000

    with gateway.tracer.start_as_current_span(
        "POST /v2/orders", kind=SpanKind.SERVER, start_time=at(0), end_on_exit=False
    ) as root:
        gateway.log("order_placed", time_ns=at(18), order_id="o-1")
    root.end(at(20))
    below = set_span_in_context(root)
    first = workers.tracer.start_span("run send_order_email", context=below, start_time=at(2_000))
    first.set_status(Status(StatusCode.ERROR, "users did not\nanswer \x1b[31min time"))
    first.end(at(2_010))
    link = Link(first.get_span_context())
    workers.tracer.start_span("run send_order_email", context=below, links=[link], start_time=at(2_500)).end(at(2_515))
    return trace_id_of(root)


class TestTree:
    def test_tree_shows_spans_times_and_log_records(self, run_console: RunConsole, order: str) -> None:
        printed = run_console("trace", order)

        assert printed.returncode == 0, printed.stderr
        lines = printed.stdout.splitlines()
        assert lines[0] == f"trace {order}"
        assert lines[1] == "2.52 s · 3 spans · 2 services · 1 failed"
        assert lines[3].startswith("gateway POST /v2/orders")
        assert "20.0 ms  ███" in lines[3]
        assert lines[4] == "│ +18.0 ms warn order_placed order_id=o-1"
        assert lines[5].startswith("├╴workers run send_order_email  ✗  ⋯ 1.98 s")
        assert lines[6] == "│   ✗ users did not·answer ·[31min time"
        assert lines[7].startswith("└╴workers run send_order_email  ↪  ⋯ 2.48 s")
        assert "·┊" in lines[7]
        assert printed.stdout.splitlines()[-1].endswith(f"/trace/{order}")

    def test_tree_is_plain_text_when_piped_and_coloured_when_forced(self, run_console: RunConsole, order: str) -> None:
        assert "\x1b" not in run_console("trace", order).stdout
        assert "\x1b[1;34mgateway" in run_console("trace", order, FORCE_COLOR="1", TERM="xterm").stdout

    @pytest.mark.parametrize("width", [60, 69, 70, 100, 200])
    def test_tree_fits_the_width(self, run_console: RunConsole, order: str, width: int) -> None:
        printed = run_console("trace", order, COLUMNS=str(width)).stdout.splitlines()

        tree = [line for line in printed if "POST /v2/orders" in line or "workers run" in line]
        assert len(tree) == 3
        assert max(len(line) for line in tree) <= width
        assert any("█" in line for line in tree) == (width >= 70)

    def test_log_record_is_shown_when_its_span_is_missing(
        self, run_console: RunConsole, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        service = create_telemetry(observatory, "orders")
        with service.tracer.start_as_current_span("kept") as kept:
            pass
        with service.tracer.start_as_current_span("lost", context=set_span_in_context(kept), end_on_exit=False):
            service.log("logged_before_the_crash")

        printed = run_console("trace", trace_id_of(kept)).stdout

        assert "logged_before_the_crash" in printed
        assert "lost" not in printed

    @pytest.mark.parametrize(("records", "is_noted"), [(MAX_LOG_RECORDS - 1, False), (MAX_LOG_RECORDS + 1, True)])
    def test_missing_log_records_are_noted_when_there_are_too_many(
        self,
        run_console: RunConsole,
        observatory: Observatory,
        create_telemetry: CreateTelemetry,
        records: int,
        is_noted: bool,
    ) -> None:
        service = create_telemetry(observatory, "orders")
        with service.tracer.start_as_current_span("import") as span:
            for number in range(records):
                service.log(f"row_imported {number}")

        lines = run_console("trace", trace_id_of(span)).stdout.splitlines()

        assert sum("row_imported" in line for line in lines) == min(records, MAX_LOG_RECORDS)
        assert ("only the first 2,000 log records are shown; there may be more" in lines) == is_noted

    def test_legend_is_omitted_when_no_sign_is_used(
        self, run_console: RunConsole, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        with create_telemetry(observatory, "orders").tracer.start_as_current_span("alone") as alone:
            pass

        heading, _, _, span, blank, page = run_console("trace", trace_id_of(alone)).stdout.splitlines()

        assert heading.startswith("trace ")
        assert span.startswith("orders alone ")
        assert blank == ""
        assert "/trace/" in page

    def test_lost_span_is_shown_when_its_process_died_before_the_export(
        self, run_console: RunConsole, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        service = create_telemetry(observatory, "notifications")
        with service.tracer.start_as_current_span("publish") as root:
            below = set_span_in_context(root)
        lost = service.tracer.start_span("process", context=below)
        service.tracer.start_span("send", context=set_span_in_context(lost)).end()
        links = [Link(root.get_span_context()), Link(lost.get_span_context())]
        flags = {"hopline.messaging.redelivered": True, "hopline.applied_before": True}
        service.tracer.start_span("process", context=below, links=links, attributes=flags).end()

        lines = run_console("trace", trace_id_of(root)).stdout.splitlines()

        assert " · 1 lost" in lines[1]
        assert lines[4].rstrip() == "├╴notifications process  †"
        assert lines[5].startswith("│ └╴notifications send ")
        assert lines[6].startswith("└╴notifications process  ↪ applied before ")
        assert "† lost: not received" in lines[7]

    def test_exception_of_a_log_record_has_type_and_message_without_stack_trace(
        self, run_console: RunConsole, observatory: Observatory
    ) -> None:
        lines = run_console("trace", export_exception(observatory), COLUMNS="200").stdout.splitlines()

        [record] = [line for line in lines if "order_failed" in line]
        assert "order_id=o-1" in record
        assert "exception_type=ValueError" in record
        assert "exception_message=invalid literal for int() with base 10: 'one'" in record
        assert not [line for line in lines if "stacktrace" in line]


class TestPipe:
    def test_exit_code_is_0_when_the_reader_closes_the_pipe(self, observatory: Observatory, order: str) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as closed_pipe:
            ended = subprocess.run(
                [sys.executable, "-m", "console", "trace", order],
                env={**os.environ, "HOPLINE_PORT_OFFSET": str(observatory.offset)},
                stdout=closed_pipe,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )

        assert (ended.returncode, ended.stderr) == (0, "")


class TestFailure:
    def test_error_contains_the_reasons_when_the_trace_is_unknown(self, run_console: RunConsole) -> None:
        printed = run_console("trace", secrets.token_hex(16))

        assert printed.returncode == 1
        assert "no trace " in printed.stderr
        assert "evicted" in printed.stderr

    @pytest.mark.parametrize("trace_id", ["", "xyz", "../api/services", "a" * 33])
    def test_error_is_printed_when_the_trace_id_is_invalid(self, run_console: RunConsole, trace_id: str) -> None:
        printed = run_console("trace", trace_id)

        assert printed.returncode == 1
        assert "is not a trace id" in printed.stderr

    def test_error_is_one_line_when_no_stack_is_running(self, run_console: RunConsole) -> None:
        printed = run_console("trace", "a" * 32, HOPLINE_JAEGER_URL="http://127.0.0.1:9")

        assert printed.returncode == 1
        assert "cannot connect to http://127.0.0.1:9" in printed.stderr
        assert printed.stderr.count("\n") == 1

    async def test_error_names_the_variable_of_the_address_when_another_server_responds(
        self, run_console: RunConsole
    ) -> None:
        async def page(_request: Request) -> Response:
            return HTMLResponse("<h1>Another application</h1>")

        async with serve(Starlette(routes=[Route("/{path:path}", page)])) as url:
            printed = await asyncio.to_thread(run_console, "trace", "a" * 32, HOPLINE_JAEGER_URL=url)

        assert printed.returncode == 1
        assert "another server listens there: check HOPLINE_JAEGER_URL" in printed.stderr
        assert "Traceback" not in printed.stderr

    @pytest.mark.parametrize("offset", ["many", "-1", "60000"])
    def test_error_names_the_variable_when_the_offset_is_invalid(self, run_console: RunConsole, offset: str) -> None:
        printed = run_console("trace", "a" * 32, HOPLINE_PORT_OFFSET=offset)

        assert printed.returncode == 1
        assert f"HOPLINE_PORT_OFFSET='{offset}': expected a whole number from 0 to " in printed.stderr
