"""`console.demo` with a correct shop, and with shops that return wrong data or no data."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from console.demo import Demo
from console.failures import FailedError
from console.narration import Narrator
from console.stack import Stack
from console.waiting import TimeoutBudget

from .conftest import RunConsole, ServeShop
from .fake_shop import KINDS, ORDER_ID, REPORT, REPORT_ID, REPORT_PUSHES, SERVICES, Behaviour

TIMEOUTS = TimeoutBudget(ready=30, pushes=30, report=30, emails=30, trace=30, completed=0.3)
"""Longer than any step of the fake shop, so that only the intended step times out.

`completed`, the time without new spans, is short to keep the tests fast.
"""


class CapturedNarration:
    """Collects the output of a narrator."""

    def __init__(self) -> None:
        self._written = io.StringIO()
        self.narrator = Narrator(Console(file=self._written, width=120, highlight=False))

    @property
    def text(self) -> str:
        return self._written.getvalue()


@pytest.fixture
def narration() -> CapturedNarration:
    return CapturedNarration()


class TestDemo:
    async def test_demo_returns_a_summary(
        self, serve_shop: ServeShop, narration: CapturedNarration, tmp_path: Path
    ) -> None:
        async with serve_shop(Behaviour()) as stack:
            summary = await Demo(stack=stack, narrator=narration.narrator, downloads=tmp_path, timeout=TIMEOUTS).run()

        assert json.loads(json.dumps(summary)) == summary
        assert summary["order_id"] == ORDER_ID
        assert [frame["kind"] for frame in summary["frames"]] == ["user.registered", *KINDS]
        assert [frame["seq"] for frame in summary["frames"]] == [1, 2, 3, 4]
        assert {frame["trace_id"] for frame in summary["frames"][1:]} == {summary["trace_id"]}
        assert summary["frames"][0]["after_ms"] < 0 < summary["push_ms"] == summary["frames"][1]["after_ms"]
        assert len(summary["email_ids"]) == len(summary["emails"]) == 3
        assert sorted(summary["services"]) == sorted(SERVICES)
        assert (summary["spans"], summary["roots"], summary["missing_parents"]) == (len(SERVICES), 1, 0)
        file = tmp_path / "orders.csv"
        assert file.read_bytes() == REPORT.encode()
        del summary["report"]["ready_ms"]
        assert summary["report"] == {
            "id": REPORT_ID,
            "progress": [40, 90],
            "file": str(file),
            "size_bytes": len(REPORT),
            "rows": 1,
        }
        assert summary["trace_url"] == f"{stack.jaeger}/trace/{summary['trace_id']}"

    async def test_demo_prints_each_step(
        self, serve_shop: ServeShop, narration: CapturedNarration, tmp_path: Path
    ) -> None:
        async with serve_shop(Behaviour()) as stack:
            summary = await Demo(stack=stack, narrator=narration.narrator, downloads=tmp_path, timeout=TIMEOUTS).run()

        steps = [
            f"the stack at {stack.gateway} is ready",
            "registered ada-",
            "received a token",
            "listening at ws://",
            "ordered Mug and Cup for 29.90 EUR",
            "earlier  user.registered",
            "order.placed",
            "order.packed",
            "order.shipped  notification 4, same trace",
            "email: Email 0",
            "email: Email 2",
            f"trace {summary['trace_id']}",
            "gateway POST /v2/orders",
            "requested a report",
            "████████░░░░░░░░░░░░  40 %  report.progress",
            "████████████████████ 100 %  report.ready",
            "orders.csv",
            "order_id,status",
            f"{ORDER_ID},shipped",
            "the shop",
            f"make trace ID={summary['trace_id']}",
        ]
        places = [narration.text.find(step) for step in steps]
        assert -1 not in places, narration.text
        assert places == sorted(places)
        assert "\x1b" not in narration.text


class TestFailure:
    @pytest.mark.parametrize(
        ("behaviour", "reason", "short_timeouts"),
        [
            (Behaviour(ready=False), r"not ready \(redis: connection refused\): see make status", {"ready": 0.5}),
            (Behaviour(is_hopline=False), r"not ready \(GET http://.*/health/ready got 200\)", {"ready": 0.5}),
            (Behaviour(available=0), "no product is in stock", {}),
            (Behaviour(sends_welcome=False), "the WebSocket was closed: received 4401", {}),
            (Behaviour(pushes_have_order_trace=False), f"order.placed carries trace {'a' * 32}", {}),
            (Behaviour(numbers=(2, 4, 5)), "notification 4 came after 2", {}),
            (Behaviour(numbers=(2, 2, 3)), "notification 2 came after 2", {}),
            (
                Behaviour(kinds=KINDS[:1], numbers=(2,)),
                "no notification order.packed, order.shipped within 1 s",
                {"pushes": 1.0},
            ),
            (Behaviour(emails=2), "fewer than 3 emails to ada-", {"emails": 1.0}),
            (Behaviour(services=SERVICES[:4]), "an incomplete trace [0-9a-f]{32} at http", {"trace": 1.0}),
            (Behaviour(has_missing_parents=True), "an incomplete trace", {"trace": 1.0}),
            (Behaviour(report_pushes=REPORT_PUSHES[:2]), "no notification report.ready within 1 s", {"report": 1.0}),
            (Behaviour(report_pushes=[("report.failed", {"reason": "no room"})]), "the report failed: no room", {}),
            (Behaviour(report="order_id,status\r\n"), "orders.csv does not contain the order", {}),
        ],
        ids=[
            "not ready",
            "another server",
            "out of stock",
            "no welcome",
            "another trace",
            "gap",
            "repeat",
            "missing notifications",
            "missing email",
            "missing service",
            "missing parent",
            "report never ready",
            "failed report",
            "empty report",
        ],
    )
    async def test_error_is_raised_when_a_step_fails(
        self,
        serve_shop: ServeShop,
        narration: CapturedNarration,
        tmp_path: Path,
        behaviour: Behaviour,
        reason: str,
        *,
        short_timeouts: dict[str, float],
    ) -> None:
        timeout = replace(TIMEOUTS, **short_timeouts)
        async with serve_shop(behaviour) as stack:
            with pytest.raises(FailedError, match=reason):
                await Demo(stack=stack, narrator=narration.narrator, downloads=tmp_path, timeout=timeout).run()

    async def test_error_contains_the_url_when_the_shop_is_not_at_this_address(
        self, serve_shop: ServeShop, narration: CapturedNarration, tmp_path: Path
    ) -> None:
        timeout = replace(TIMEOUTS, ready=0.5)
        async with serve_shop(Behaviour()) as stack:
            elsewhere = Stack(gateway=f"{stack.gateway}/nowhere", jaeger="", loki="", prometheus="", mailpit="")
            with pytest.raises(FailedError, match=r"nowhere/health/ready got 404"):
                await Demo(stack=elsewhere, narrator=narration.narrator, downloads=tmp_path, timeout=timeout).run()

    def test_error_suggests_make_up_when_no_stack_is_running(self, run_console: RunConsole) -> None:
        result = run_console("demo")

        assert result.returncode == 1
        assert "cannot connect to http://localhost:" in result.stderr
        assert "run make up" in result.stderr
        assert "Traceback" not in result.stderr

    def test_error_is_json_when_requested(self, run_console: RunConsole) -> None:
        result = run_console("demo", "--json")

        assert result.returncode == 1
        assert json.loads(result.stdout)["error"].endswith("run make up")
