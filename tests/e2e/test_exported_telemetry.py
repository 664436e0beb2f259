"""docs/telemetry.md and the exported telemetry of a running system contain the same names.

`tests/telemetry` compares the page with the source. This module compares it with the telemetry that the stack has
exported during the tests of this folder and during one more journey. Other tests, which NOT_IN_EVERY_JOURNEY lists,
require the names that only failures, limits or waiting jobs emit.
"""

import asyncio
import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.tap import TappedTelemetry
from testkit.telemetry_page import read_listed, read_section
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

ROOT = Path(__file__).parents[2]
EXPORT_TIMEOUT_S = 60
"""Metrics are exported every ten seconds. A busy machine is slower."""

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
    "hopline.gateway.hedges": "services/gateway/tests/resilience/test_hedge.py",
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
"""Names that a successful journey does not always emit, each with the file of a test that requires it."""


@pytest.fixture(autouse=True)
def tapped_stack_only(stack: Stack) -> None:
    if not stack.is_tapped:
        pytest.skip("reads the exported telemetry, so it needs an embedded stack that the tests started")


class TestExportedTelemetry:
    async def test_exported_telemetry_is_listed_and_listed_telemetry_is_exported(
        self, stack: Stack, shopper: Shopper
    ) -> None:
        await self._complete_journey(stack, shopper)
        expected = (
            (read_listed("Metrics") | read_listed("Attributes"))
            - NOT_IN_EVERY_JOURNEY.keys()
            - read_names_in_the_asgi_scope()
        )

        def all_are_exported() -> bool:
            exported = stack.tapped.copy()
            assert expected - exported.metrics.keys() - list_attributes(exported) == set()
            assert HISTOGRAMS - exported.with_traces == set()
            return True

        await eventually(all_are_exported, EXPORT_TIMEOUT_S, "all listed names")
        exported = stack.tapped.copy()
        assert exported.metrics.keys() - read_listed("Metrics") == set()
        assert exported.log_events.keys() - read_listed("Log events") == set()
        attribute_patterns = set(re.findall(r"`([a-z_.*]+)`", read_section("Attributes")))
        assert list_unmatched(list_attributes(exported), attribute_patterns) == set()
        span_patterns = {re.sub(r"\{[^}]+\}", "*", name) for name in read_listed("Spans")}
        assert list_unmatched(exported.spans, span_patterns) == set()

    def test_names_that_are_not_in_every_journey_occur_in_the_given_tests(self) -> None:
        assert NOT_IN_EVERY_JOURNEY.keys() <= read_listed("Metrics") | read_listed("Attributes")
        not_required = [
            name
            for name, file in NOT_IN_EVERY_JOURNEY.items()
            if f'"{name}"' not in (ROOT / file).read_text(encoding="utf-8")
        ]
        assert not_required == []

    @staticmethod
    async def _complete_journey(stack: Stack, shopper: Shopper) -> None:
        """Join a room, place an order, repeat it, and place an invalid one. All requests are marked as synthetic."""
        shopper.http.headers["baggage"] = "hopline.synthetic=true"
        sku = (await shopper.products())[0]["sku"]
        assert (await asyncio.to_thread(stack.run, "console", "room", sku)).returncode == 0
        async with shopper.device() as device:
            for _ in range(2):
                assert (await shopper.place_order((sku, 1), key=shopper.email)).status_code == 201
            assert (await shopper.place_order(("NO-SUCH-THING", 1))).status_code == 422
            await device.wait_for("order.placed")


def read_names_in_the_asgi_scope() -> set[str]:
    """Return the listed keys of the ASGI scope, which are named like attributes but not exported."""
    return set(re.findall(r"^\| `([^`]+)` \| ASGI scope \|", read_section("Attributes"), re.MULTILINE))


def list_attributes(exported: TappedTelemetry) -> set[str]:
    """Return the names of all attributes. Members of log records without a dot in their name are not included."""
    of_records = {name for names in exported.log_events.values() for name in names if "." in name}
    of_other_signals = (*exported.metrics.values(), *exported.spans.values(), *exported.span_events.values())
    return exported.resource.union(of_records, *of_other_signals)


def list_unmatched(names: Iterable[str], patterns: Collection[str]) -> set[str]:
    """Return the names that match no pattern, in which `*` matches any text."""
    return {name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)}
