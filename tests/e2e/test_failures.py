"""Failures and their traces: the scenarios of `make walk`, a retried call, a disconnected client."""

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
from testkit.jaeger import StoredSpan, StoredTrace, get_stored_trace, wait_for_tree
from testkit.loki import records_of_trace, records_since
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S, eventually

pytestmark = pytest.mark.xdist_group("stack")

ADMIN = {"email": "admin@hopline.example", "password": "hopline-admin"}
PRINTED_ID = re.compile(r"trace ([0-9a-f]{32})")
PACK, EVENT = "run fulfil_order", "process events:orders"
MINUTE_S = 60

Condition = Callable[[StoredTrace], bool]


@dataclass(frozen=True)
class Walked:
    """The trace of a walk, and the output of the command."""

    trace_id: str
    trace: StoredTrace
    printed: str


class Walking:
    """A running `python -m console walk …`."""

    def __init__(self, process: asyncio.subprocess.Process, jaeger: httpx.AsyncClient) -> None:
        self._process = process
        self._jaeger = jaeger
        self._printed = ""

    async def until(self, condition: Condition) -> None:
        """Wait for the order, and then for a condition of its trace."""
        while not PRINTED_ID.search(self._printed):
            line = await self._out.readline()
            assert line, self._printed
            self._printed += line.decode()

        async def is_fulfilled() -> bool:
            return condition(await get_stored_trace(self._jaeger, self._trace_id))

        await eventually(is_fulfilled, MINUTE_S, f"the condition of trace {self._trace_id}")

    async def ended(self) -> Walked:
        """Wait until the command succeeds."""
        self._printed += (await self._out.read()).decode()
        assert await self._process.wait() == 0, self._printed
        return Walked(self._trace_id, await get_stored_trace(self._jaeger, self._trace_id), self._printed)

    @property
    def _out(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def _trace_id(self) -> str:
        found = PRINTED_ID.search(self._printed)
        assert found, self._printed
        return found[1]


async def walk(stack: Stack, jaeger: httpx.AsyncClient, name: str) -> Walking:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", "walk", name),
        env=stack.environment | {"PYTHONUNBUFFERED": "1", "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Walking(process, jaeger)


async def wait_until_quiet(stack: Stack) -> None:
    """Wait until nothing is in progress and no schedule is due soon, so that a fault affects only the walk."""
    if not stack.is_ours:
        return

    def is_quiet() -> bool:
        status = stack.operator.status()
        [jobs] = [database["jobs"] for database in status["databases"] if database["jobs"] is not None]
        behind = [group["lag"] or group["pending"] for group in status["groups"]]
        soon = datetime.now(UTC) + timedelta(seconds=MINUTE_S)
        slots = [datetime.fromisoformat(schedule["next_slot"]) for schedule in status["schedules"]]
        busy = any(jobs.get(state) for state in ("queued", "running")) or any(behind)
        return not busy and all(slot > soon for slot in slots)

    await eventually(is_quiet, 3 * MINUTE_S, "a quiet system")


async def walk_all(stack: Stack) -> dict[str, Walked]:
    """Run the scenarios. `redelivery` waits ten seconds for a dead consumer's event, so the others run meanwhile.

    No fault may affect the order of another walk. The fault of `retries` affects jobs, so the first order must be
    shipped before. The fault of `timeout` affects the next order, so the second order must be placed before.
    """
    async with httpx.AsyncClient(base_url=stack.jaeger, timeout=TIMEOUT_S) as jaeger:
        await wait_until_quiet(stack)
        redelivery = await walk(stack, jaeger, "redelivery")
        await redelivery.until(lambda trace: len(trace.named("SMTP send")) > 1)
        retries = await walk(stack, jaeger, "retries")
        await retries.until(lambda trace: bool(trace.spans))
        timeout = await walk(stack, jaeger, "timeout")
        return {
            "redelivery": await redelivery.ended(),
            "retries": await retries.ended(),
            "timeout": await timeout.ended(),
        }


@pytest.fixture(scope="module")
def walked(stack: Stack) -> dict[str, Walked]:
    return asyncio.run(walk_all(stack))


def sort_by(spans: list[StoredSpan], attribute: str) -> list[StoredSpan]:
    return sorted(spans, key=lambda span: int(span.tags.get(attribute, 0)))


class TestRedelivery:
    def test_redelivery_links_to_the_span_that_was_lost_with_its_process(self, walked: dict[str, Walked]) -> None:
        trace = walked["redelivery"].trace
        [again] = [span for span in trace.named(EVENT) if span.tags.get("hopline.messaging.redelivered")]
        assert again.service == "notifications"
        assert again.tags["hopline.applied_before"] is True
        assert again.tags["hopline.db.queries"] == 0
        published, died = again.links
        assert published == again.parent
        assert trace.spans[published].operation == "publish events:orders"
        assert died not in trace.spans
        [pushed] = [span for span in trace.named("send notification") if span.parent == died]
        assert pushed.tags["hopline.notification.kind"] == "order.placed"

    def test_redelivery_is_printed_below_the_lost_span(self, walked: dict[str, Walked]) -> None:
        printed = walked["redelivery"].printed
        assert " · 1 lost" in printed
        tree = re.findall(
            r"notifications (process|send notification)\b.*?(†|applied before|order\.placed {2})", printed
        )
        assert [mark.strip() for _, mark in tree] == ["†", "order.placed", "applied before"]
        assert "event_applied_before" in printed


class TestRetriedJob:
    def test_retried_job_has_three_sibling_attempts(self, walked: dict[str, Walked]) -> None:
        trace = walked["retries"].trace
        [first] = {str(run.parent) for run in trace.named(PACK) if run.tags["hopline.job.attempt"] == 2}
        assert trace.spans[first].operation == EVENT
        runs = sort_by([run for run in trace.named(PACK) if run.parent == first], "hopline.job.attempt")
        assert [run.tags["hopline.job.attempt"] for run in runs] == [1, 2, 3]
        assert [run.tags["hopline.job.outcome"] for run in runs] == ["failed", "failed", "done"]
        assert [run.links for run in runs] == [[], [first], [first]]
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

    def test_attempts_are_printed_with_their_numbers(self, walked: dict[str, Walked]) -> None:
        shown = re.findall(rf"workers {PACK}  (✗  ↪ attempt 2|↪ attempt 3|✗)  ", walked["retries"].printed)
        assert shown == ["✗", "✗  ↪ attempt 2", "↪ attempt 3"]


class TestTimeout:
    def test_call_and_request_have_errors_when_the_upstream_hangs(self, walked: dict[str, Walked]) -> None:
        trace = walked["timeout"].trace
        assert trace.tree() == "gateway POST /v2/orders\n  gateway POST /orders\n"
        [root], [call] = trace.roots, trace.named("POST /orders")
        noted = {"http.response.status_code": 504, "error.type": "504", "hopline.problem": "upstream-timeout"}
        assert noted.items() <= root.tags.items()
        assert {"error.type": "ReadTimeout", "hopline.fault": "hang"}.items() <= call.tags.items()
        assert [root.tags["error"], call.tags["error"]] == [True, True]

    async def test_request_has_one_access_log_record_when_the_upstream_hangs(
        self, stack: Stack, walked: dict[str, Walked]
    ) -> None:
        async def access() -> list[tuple[str, str]]:
            lines = await records_of_trace(stack, walked["timeout"].trace_id)
            return [
                (line.service, line.labels["http_response_status_code"])
                for line in lines
                if line.event == "http_request"
            ]

        assert await eventually(access) == [
            ("gateway", "504")
        ]  # log records are exported separately, maybe after spans


@asynccontextmanager
async def inject_fault(stack: Stack, gateway: httpx.AsyncClient, *, kind: str) -> AsyncIterator[None]:
    """Inject a fault into the gateway's next call to orders, within the block."""
    admin = Client(http=gateway, retry_policy=NO_RETRIES)
    await admin.log_in(**ADMIN)
    since_ns = time.time_ns()
    await admin.call(api.inject_fault(kind=kind, target="orders", times=1))

    async def is_recorded() -> bool:
        return "faults_switched" in {line.event for line in await records_since(stack, "gateway", since_ns)}

    try:
        await eventually(is_recorded)
        yield
    finally:
        await admin.call(api.remove_faults())


class TestRetriedCall:
    async def test_retried_call_has_a_second_span_with_its_resend_count(
        self, stack: Stack, gateway: httpx.AsyncClient, jaeger: httpx.AsyncClient
    ) -> None:
        for _ in range(10):  # five calls earn the budget of one retry
            await gateway.get("/v2/products")
        async with inject_fault(stack, gateway, kind="errors"):
            response = await gateway.get("/v2/products")
        assert response.status_code == 200
        tree = "gateway GET /v2/products\n  gateway GET /products\n  gateway GET /products\n    orders GET /products\n"
        trace = await wait_for_tree(jaeger, api.trace_id(response) or "", tree)
        calls = sort_by(
            [s for s in trace.named("GET /products") if s.service == "gateway"], "http.request.resend_count"
        )
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
                await gateway.get("/v2/products", headers=headers, timeout=2)  # the call has started by then
            trace = await wait_for_tree(jaeger, trace_id, "gateway GET /v2/products\n  gateway GET /products\n")
        [call] = trace.named("GET /products")
        assert {"error.type": "CancelledError", "hopline.fault": "hang"}.items() <= call.tags.items()
        assert "http.response.status_code" not in trace.roots[0].tags

        async def reported() -> bool:
            lines = {line.event: line for line in await records_of_trace(stack, trace_id)}
            return "client_hung_up" in lines and lines["http_request"].labels["http_response_status_code"] == "499"

        await eventually(reported)
