"""Compares docs/telemetry.md with the telemetry of a running system, in both directions.

`tests/telemetry` compares the page with the source. This test compares it with the exported telemetry of all tests in
this folder and of one journey. Telemetry of failures is covered by other tests, which are listed here.
"""

import asyncio
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.tap import TappedTelemetry
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

ROOT = Path(__file__).parents[2]
EXPORT_S = 60
"""Metrics are exported every ten seconds; a busy machine needs longer."""

HISTOGRAMS = {
    "http.server.request.duration",
    "http.client.request.duration",
    "messaging.process.duration",
    "hopline.notification.latency",
}
"""Histograms with exemplars, which link to traces."""

NOT_IN_EVERY_JOURNEY = {
    "db.client.connection.timeouts": "shared/tests/db/test_database.py",
    "hopline.faults.suffered": "shared/tests/faults/test_faults.py",
    "hopline.gateway.circuit.turns": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.hedges": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.rate_limited": "services/gateway/tests/test_limits.py",
    "hopline.gateway.refusals": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.repeats": "services/gateway/tests/test_resends.py",
    "hopline.gateway.retries": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.gateway.shed": "services/gateway/tests/resilience/test_shedding.py",
    "hopline.jobs": "workers/tests/test_backlog.py",
    "hopline.websocket.closed": "services/notifications/tests/test_closing.py",
    "db.response.status_code": "shared/tests/db/test_statements.py",
    "error.type": "tests/e2e/test_failures.py",
    "exception.message": "shared/tests/web/test_app.py",
    "exception.stacktrace": "shared/tests/web/test_app.py",
    "exception.type": "shared/tests/logging/test_logging.py",
    "hopline.applied_before": "tests/e2e/test_failures.py",
    "hopline.circuit.state": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.fault": "tests/e2e/test_failures.py",
    "hopline.job.state": "workers/tests/test_backlog.py",
    "hopline.kind": "services/gateway/tests/resilience/test_shedding.py",
    "hopline.paid": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.quota": "services/gateway/tests/test_limits.py",
    "hopline.refused_by": "services/gateway/tests/resilience/test_failing_upstream.py",
    "hopline.websocket.close_code": "services/notifications/tests/test_closing.py",
    "http.request.method_original": "shared/tests/web/test_server_spans.py",
    "http.request.resend_count": "tests/e2e/test_failures.py",
    "hopline.messaging.redelivered": "tests/e2e/test_failures.py",
    "url.query": "shared/tests/web/test_server_spans.py",
}
"""Names that only failures or waiting jobs emit, with the test that requires each."""


def read_listed(heading: str) -> set[str]:
    """Return the names in the first column of a table of the page."""
    return set(re.findall(r"^\| `([^`]+)` \|", read_section(heading), re.MULTILINE))


def read_section(heading: str) -> str:
    page = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture(autouse=True)
def tapped_stack_only(stack: Stack) -> None:
    if not stack.is_tapped:
        pytest.skip("reads the exported telemetry, so it needs an embedded stack that the tests started")


class TestExportedTelemetry:
    async def test_exported_telemetry_is_listed_and_listed_telemetry_is_exported(
        self, stack: Stack, shopper: Shopper
    ) -> None:
        await self._journey(stack, shopper)
        expected = (
            (read_listed("Metrics") | read_listed("Attributes"))
            - NOT_IN_EVERY_JOURNEY.keys()
            - names_in_the_asgi_scope()
        )

        def all_arrived() -> bool:
            passed = stack.tapped.copy()
            assert expected - passed.metrics.keys() - attributes_of(passed) == set()
            assert HISTOGRAMS - passed.with_traces == set()
            return True

        await eventually(all_arrived, EXPORT_S, "all listed names")
        passed = stack.tapped.copy()
        assert passed.metrics.keys() - read_listed("Metrics") == set()
        assert passed.log_events.keys() - read_listed("Log events") == set()
        allowed = set(re.findall(r"`([a-z_.*]+)`", read_section("Attributes")))
        assert {
            name for name in attributes_of(passed) if not any(fnmatchcase(name, shape) for shape in allowed)
        } == set()
        shapes = [re.sub(r"\{[^}]+\}", "*", name) for name in read_listed("Spans")]
        assert {name for name in passed.spans if not any(fnmatchcase(name, shape) for shape in shapes)} == set()

    def test_other_names_are_required_by_other_tests(self) -> None:
        names = read_listed("Metrics") | read_listed("Attributes")
        assert NOT_IN_EVERY_JOURNEY.keys() <= names
        not_required = [
            name
            for name, file in NOT_IN_EVERY_JOURNEY.items()
            if f'"{name}"' not in (ROOT / file).read_text(encoding="utf-8")
        ]
        assert not_required == []

    @staticmethod
    async def _journey(stack: Stack, shopper: Shopper) -> None:
        """Join a room, place an order, repeat it, and place an invalid one. All requests are marked as synthetic."""
        shopper.http.headers["baggage"] = "hopline.synthetic=true"
        sku = (await shopper.products())[0]["sku"]
        assert (await asyncio.to_thread(stack.run, "console", "room", sku)).returncode == 0
        async with shopper.device() as device:
            for _ in range(2):
                assert (await shopper.place_order((sku, 1), key=shopper.email)).status_code == 201
            assert (await shopper.place_order(("NO-SUCH-THING", 1))).status_code == 422
            await device.received("order.placed")


def names_in_the_asgi_scope() -> set[str]:
    """Return listed names of the ASGI scope, which are named like attributes but not exported."""
    return set(re.findall(r"^\| `([^`]+)` \| ASGI scope \|", read_section("Attributes"), re.MULTILINE))


def attributes_of(passed: TappedTelemetry) -> set[str]:
    """Return the names of attributes. Of log records, only members with a dot in their name are attributes."""
    reported = (*passed.metrics.values(), *passed.spans.values(), *passed.span_events.values())
    of_lines = {name for names in passed.log_events.values() for name in names if "." in name}
    return passed.resource.union(of_lines, *reported)
