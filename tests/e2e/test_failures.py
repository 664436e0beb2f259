"""The traces of failures: the scenarios of `make walk`, a retried call, a disconnected client."""

import asyncio
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from hopline_client import api
from hopline_client.backoff import NO_RETRIES
from hopline_client.rest import Client
from testkit.apps import http_client
from testkit.jaeger import StoredSpan, StoredTrace, get_stored_trace, wait_for_tree
from testkit.loki import records_of_trace, records_since
from testkit.stack import Stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

ADMIN = {"email": "admin@hopline.example", "password": "hopline-admin"}
PRINTED_TRACE_ID = re.compile(r"trace ([0-9a-f]{32})")
FULFIL_SPAN = "run fulfil_order"
EVENT_SPAN = "process events:orders"
MINUTE_S = 60

Condition = Callable[[StoredTrace], bool]


@dataclass(frozen=True)
class WalkResult:
    """The trace of a finished walk, and the output of the command."""

    trace_id: str
    trace: StoredTrace
    printed: str


class RunningWalk:
    """A running `python -m console walk …`."""

    def __init__(self, process: asyncio.subprocess.Process, jaeger: httpx.AsyncClient) -> None:
        self._process = process
        self._jaeger = jaeger
        self._printed = ""

    async def wait_for_trace(self, condition: Condition) -> None:
        """Wait until the walk has placed its order and the trace of the order fulfils `condition`."""
        while not PRINTED_TRACE_ID.search(self._printed):
            line = await self._stdout.readline()
            assert line, self._printed
            self._printed += line.decode()

        async def is_fulfilled() -> bool:
            return condition(await get_stored_trace(self._jaeger, self._trace_id))

        await eventually(is_fulfilled, MINUTE_S, f"the condition of trace {self._trace_id}")

    async def wait_for_end(self) -> WalkResult:
        """Wait until the command ends with status 0, and return its result."""
        self._printed += (await self._stdout.read()).decode()
        assert await self._process.wait() == 0, self._printed
        return WalkResult(self._trace_id, await get_stored_trace(self._jaeger, self._trace_id), self._printed)

    @property
    def _stdout(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def _trace_id(self) -> str:
        found = PRINTED_TRACE_ID.search(self._printed)
        assert found, self._printed
        return found[1]


async def start_walk(stack: Stack, jaeger: httpx.AsyncClient, name: str) -> RunningWalk:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", "walk", name),
        env=stack.environment | {"PYTHONUNBUFFERED": "1", "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return RunningWalk(process, jaeger)


async def wait_until_quiet(stack: Stack) -> None:
    """Wait until no job or event is in progress and no schedule is due soon, so that a fault affects only the walk.

    The state of a stack that another command started is not available, so the function returns immediately.
    """
    if not stack.is_ours:
        return

    def is_quiet() -> bool:
        status = stack.operator.status()
        [jobs] = [database["jobs"] for database in status["databases"] if database["jobs"] is not None]
        has_jobs = any(jobs.get(state) for state in ("queued", "running"))
        has_events = any(group["lag"] or group["pending"] for group in status["groups"])
        soon = datetime.now(UTC) + timedelta(seconds=MINUTE_S)
        next_slots = [datetime.fromisoformat(schedule["next_slot"]) for schedule in status["schedules"]]
        return not has_jobs and not has_events and all(slot > soon for slot in next_slots)

    await eventually(is_quiet, 3 * MINUTE_S, "a quiet system")


async def run_walks(stack: Stack) -> dict[str, WalkResult]:
    """Run three walks, and return their results by name.

    The walk `redelivery` waits ten seconds for the event of a dead consumer. The other walks run meanwhile, to save
    time. The fault of a walk must not affect the order of another walk:
    - The fault of `retries` affects jobs, so it starts when all jobs of the order of `redelivery` have run.
    - The fault of `timeout` affects the next order, so it starts when `retries` has placed its order.
    """
    async with http_client(stack.jaeger) as jaeger:
        await wait_until_quiet(stack)
        redelivery = await start_walk(stack, jaeger, "redelivery")
        await redelivery.wait_for_trace(lambda trace: len(trace.named("SMTP send")) > 1)
        retries = await start_walk(stack, jaeger, "retries")
        await retries.wait_for_trace(lambda trace: bool(trace.spans))
        timeout = await start_walk(stack, jaeger, "timeout")
        return {
            "redelivery": await redelivery.wait_for_end(),
            "retries": await retries.wait_for_end(),
            "timeout": await timeout.wait_for_end(),
        }


@pytest.fixture(scope="module")
def walks(stack: Stack) -> dict[str, WalkResult]:
    """Run the walks once for all tests of this module."""
    return asyncio.run(run_walks(stack))


def sort_by(spans: list[StoredSpan], attribute: str) -> list[StoredSpan]:
    """Return the spans in the order of an integer attribute, which is 0 if it is missing."""
    return sorted(spans, key=lambda span: int(span.tags.get(attribute, 0)))


class TestRedelivery:
    def test_redelivery_links_to_the_span_that_was_lost_with_its_process(self, walks: dict[str, WalkResult]) -> None:
        trace = walks["redelivery"].trace
        [redelivery] = [span for span in trace.named(EVENT_SPAN) if span.tags.get("hopline.messaging.redelivered")]
        assert redelivery.service == "notifications"
        assert redelivery.tags["hopline.applied_before"] is True
        assert redelivery.tags["hopline.db.queries"] == 0
        publish_id, lost_id = redelivery.links
        assert publish_id == redelivery.parent
        assert trace.spans[publish_id].operation == "publish events:orders"
        assert lost_id not in trace.spans
        [pushed] = [span for span in trace.named("send notification") if span.parent == lost_id]
        assert pushed.tags["hopline.notification.kind"] == "order.placed"

    def test_redelivery_is_printed_below_the_lost_span(self, walks: dict[str, WalkResult]) -> None:
        printed = walks["redelivery"].printed
        assert " · 1 lost" in printed
        tree = re.findall(
            r"notifications (process|send notification)\b.*?(†|applied before|order\.placed {2})", printed
        )
        assert [mark.strip() for _, mark in tree] == ["†", "order.placed", "applied before"]
        assert "event_applied_before" in printed


class TestRetriedJob:
    def test_retried_job_has_three_sibling_attempts(self, walks: dict[str, WalkResult]) -> None:
        trace = walks["retries"].trace
        [event_id] = {str(run.parent) for run in trace.named(FULFIL_SPAN) if run.tags["hopline.job.attempt"] == 2}
        assert trace.spans[event_id].operation == EVENT_SPAN
        runs = sort_by([run for run in trace.named(FULFIL_SPAN) if run.parent == event_id], "hopline.job.attempt")
        assert [run.tags["hopline.job.attempt"] for run in runs] == [1, 2, 3]
        assert [run.tags["hopline.job.outcome"] for run in runs] == ["failed", "failed", "done"]
        assert [run.links for run in runs] == [[], [event_id], [event_id]]
        assert [run.tags.get("error.type") for run in runs] == [
            "DependencyUnavailableError",
            "DependencyUnavailableError",
            None,
        ]
        calls = [span for span in trace.named("POST /internal/orders/{order_id}/pack") if span.service == "workers"]
        assert sorted(call.tags["http.response.status_code"] for call in calls) == [200, 503, 503]
        assert [call.tags["error.type"] for call in calls if "error" in call.tags] == ["503", "503"]
        assert len(trace.named("SMTP send")) == 2
        assert [root.operation for root in trace.roots] == ["POST /v2/orders"]

    def test_attempts_are_printed_with_their_numbers(self, walks: dict[str, WalkResult]) -> None:
        printed = walks["retries"].printed
        marks = re.findall(rf"workers {FULFIL_SPAN}  (✗  ↪ attempt 2|↪ attempt 3|✗)  ", printed)
        assert marks == ["✗", "✗  ↪ attempt 2", "↪ attempt 3"]


class TestTimeout:
    def test_call_and_request_have_errors_when_the_upstream_hangs(self, walks: dict[str, WalkResult]) -> None:
        trace = walks["timeout"].trace
        assert trace.tree() == "gateway POST /v2/orders\n  gateway POST /orders\n"
        [root], [call] = trace.roots, trace.named("POST /orders")
        expected = {"http.response.status_code": 504, "error.type": "504", "hopline.problem": "upstream-timeout"}
        assert expected.items() <= root.tags.items()
        assert {"error.type": "ReadTimeout", "hopline.fault": "hang"}.items() <= call.tags.items()
        assert [root.tags["error"], call.tags["error"]] == [True, True]

    async def test_request_has_one_access_log_record_when_the_upstream_hangs(
        self, stack: Stack, walks: dict[str, WalkResult]
    ) -> None:
        async def read_access_log() -> list[tuple[str, str]]:
            return [
                (record.service, record.labels["http_response_status_code"])
                for record in await records_of_trace(stack, walks["timeout"].trace_id)
                if record.event == "http_request"
            ]

        # The test waits, because log records are exported separately from spans, maybe after them.
        assert await eventually(read_access_log) == [("gateway", "504")]


@asynccontextmanager
async def inject_fault(stack: Stack, gateway: httpx.AsyncClient, *, kind: str) -> AsyncIterator[None]:
    """Inject a fault of this kind into the gateway's next call to orders. It is removed at the end of the block."""
    admin = Client(http=gateway, retry_policy=NO_RETRIES)
    await admin.log_in(**ADMIN)
    since_ns = time.time_ns()
    await admin.call(api.inject_fault(kind=kind, target="orders", times=1))

    async def gateway_has_the_fault() -> bool:
        records = await records_since(stack, "gateway", since_ns)
        return any(f"{kind} to orders" in record.labels.get("faults", "") for record in records)

    try:
        await eventually(gateway_has_the_fault)
        yield
    finally:
        await admin.call(api.remove_faults())


class TestRetriedCall:
    async def test_retried_call_has_a_second_span_with_its_resend_count(
        self, stack: Stack, gateway: httpx.AsyncClient, jaeger: httpx.AsyncClient
    ) -> None:
        for _ in range(10):  # each call adds a fifth of a retry to the retry budget
            await gateway.get("/v2/products")
        async with inject_fault(stack, gateway, kind="errors"):
            response = await gateway.get("/v2/products")
        assert response.status_code == 200
        tree = "gateway GET /v2/products\n  gateway GET /products\n  gateway GET /products\n    orders GET /products\n"
        trace = await wait_for_tree(jaeger, api.trace_id(response) or "", tree)
        calls = [span for span in trace.named("GET /products") if span.service == "gateway"]
        calls = sort_by(calls, "http.request.resend_count")
        assert [call.tags.get("http.request.resend_count") for call in calls] == [None, 1]
        assert [call.tags.get("error.type") for call in calls] == ["503", None]
        assert "error" not in trace.roots[0].tags


class TestDisconnectedClient:
    async def test_call_is_cancelled_when_the_client_disconnects(
        self, stack: Stack, gateway: httpx.AsyncClient, jaeger: httpx.AsyncClient
    ) -> None:
        trace_id = secrets.token_hex(16)
        headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
        async with inject_fault(stack, gateway, kind="hang"):
            with pytest.raises(httpx.ReadTimeout):
                await gateway.get("/v2/products", headers=headers, timeout=2)  # enough for the call to orders to start
            trace = await wait_for_tree(jaeger, trace_id, "gateway GET /v2/products\n  gateway GET /products\n")
        [call] = trace.named("GET /products")
        assert {"error.type": "CancelledError", "hopline.fault": "hang"}.items() <= call.tags.items()
        assert "http.response.status_code" not in trace.roots[0].tags

        async def disconnect_is_logged() -> bool:
            records = {record.event: record for record in await records_of_trace(stack, trace_id)}
            assert "client_disconnected" in records
            assert "http_request" in records
            return records["http_request"].labels["http_response_status_code"] == "499"

        await eventually(disconnect_is_logged)
