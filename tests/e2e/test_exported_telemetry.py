"""docs/telemetry.md lists what a running system sends, and what it lists is sent: here, or where something fails.

`tests/telemetry` holds the page against the source; here it is held against what passes over the wire, in all of this
suite's tests and in a journey of this one.
"""

import asyncio
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.tap import Passed
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

ROOT = Path(__file__).parents[2]
EXPORT_S = 60
"""Metrics leave every ten seconds; a busy machine takes its time."""

HISTOGRAMS = {
    "http.server.request.duration",
    "http.client.request.duration",
    "messaging.process.duration",
    "hopline.notification.latency",
}
"""Those on whose panels a dot leads to a trace."""

NOT_IN_EVERY_JOURNEY = {
    "db.client.connection.timeouts": "shared/tests/test_database.py",
    "hopline.faults.suffered": "shared/tests/test_faults.py",
    "hopline.gateway.circuit.turns": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.hedges": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.rate_limited": "services/gateway/tests/test_limits.py",
    "hopline.gateway.refusals": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.repeats": "services/gateway/tests/test_repeats.py",
    "hopline.gateway.retries": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.shed": "services/gateway/tests/resilience/test_shedding.py",
    "hopline.jobs": "workers/tests/test_backlog.py",
    "hopline.websocket.closed": "services/notifications/tests/test_closing.py",
    "db.response.status_code": "shared/tests/test_statements.py",
    "error.type": "tests/e2e/test_failures.py",
    "exception.message": "shared/tests/test_app.py",
    "exception.stacktrace": "shared/tests/test_app.py",
    "exception.type": "shared/tests/test_logging.py",
    "hopline.applied_before": "tests/e2e/test_failures.py",
    "hopline.circuit.state": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.fault": "tests/e2e/test_failures.py",
    "hopline.job.state": "workers/tests/test_backlog.py",
    "hopline.kind": "services/gateway/tests/resilience/test_shedding.py",
    "hopline.paid": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.quota": "services/gateway/tests/test_limits.py",
    "hopline.refused_by": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.websocket.close_code": "services/notifications/tests/test_closing.py",
    "http.request.method_original": "shared/tests/test_server_spans.py",
    "http.request.resend_count": "tests/e2e/test_failures.py",
    "hopline.messaging.redelivered": "tests/e2e/test_failures.py",
    "url.query": "shared/tests/test_server_spans.py",
}
"""What only failures show, or jobs that happen to wait when somebody looks, and the test in which it is asked for."""


OF_INSTRUMENTATIONS = {"exception.escaped"}
"""The SDK adds it if a contrib instrumentation records an exception itself, as httpx's does for a failed call."""


def listed(heading: str) -> set[str]:
    """The names in the first column of a table of the page."""
    return set(re.findall(r"^\| `([^`]+)` \|", section(heading), re.MULTILINE))


def section(heading: str) -> str:
    page = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture(autouse=True)
def tapped_stack_only(stack: Stack) -> None:
    if not stack.is_tapped:
        pytest.skip("listens on the way of the telemetry: only on an embedded stack of our own")


class TestWhatArrives:
    async def test_is_listed_and_what_is_listed_arrives(self, stack: Stack, shopper: Shopper) -> None:
        await self._journey(stack, shopper)
        expected = (listed("Metrics") | listed("Attributes")) - NOT_IN_EVERY_JOURNEY.keys() - kept_within_a_process()

        def all_came() -> bool:
            passed = stack.passed.so_far()
            assert expected - passed.metrics.keys() - attributes_of(passed) == set()
            assert HISTOGRAMS - passed.with_traces == set()
            return True

        await eventually(all_came, EXPORT_S, "all that is listed")
        passed = stack.passed.so_far()
        assert passed.metrics.keys() - listed("Metrics") == set()
        assert passed.lines.keys() - listed("Log lines") == set()
        allowed = set(re.findall(r"`([a-z_.*]+)`", section("Attributes")))
        assert {
            name for name in attributes_of(passed) if not any(fnmatchcase(name, shape) for shape in allowed)
        } <= OF_INSTRUMENTATIONS
        shapes = [re.sub(r"\{[^}]+\}", "*", name) for name in listed("Spans")]
        assert {name for name in passed.spans if not any(fnmatchcase(name, shape) for shape in shapes)} == set()

    def test_what_need_not_arrive_is_asked_for_elsewhere(self) -> None:
        names = listed("Metrics") | listed("Attributes")
        assert NOT_IN_EVERY_JOURNEY.keys() <= names
        unasked = [
            name
            for name, file in NOT_IN_EVERY_JOURNEY.items()
            if f'"{name}"' not in (ROOT / file).read_text(encoding="utf-8")
        ]
        assert unasked == []

    @staticmethod
    async def _journey(stack: Stack, shopper: Shopper) -> None:
        """A room of a product; an order, the same again, and one that cannot be, marked as synthetic."""
        shopper.client.headers["baggage"] = "hopline.synthetic=true"
        sku = (await shopper.client.get("/v2/products")).json()["items"][0]["sku"]
        assert (await asyncio.to_thread(stack.run, "console", "room", sku)).returncode == 0
        async with shopper.device() as device:
            for _ in range(2):
                assert (await shopper.place_order((sku, 1), key=shopper.email)).status_code == 201
            assert (await shopper.place_order(("NO-SUCH-THING", 1))).status_code == 422
            await device.received("order.placed")


def kept_within_a_process() -> set[str]:
    """Those that are listed because they are named like attributes, and stay in the scope of their request."""
    return set(re.findall(r"^\| `([^`]+)` \| ASGI scope \|", section("Attributes"), re.MULTILINE))


def attributes_of(passed: Passed) -> set[str]:
    """Of a line those that are named like attributes: its other members are its event's own."""
    told = (*passed.metrics.values(), *passed.spans.values(), *passed.span_events.values())
    of_lines = {name for names in passed.lines.values() for name in names if "." in name}
    return passed.resource.union(of_lines, *told)
