"""One order, from the gateway to the WebSocket and the mailbox: one trace, a log line per hop, nothing out of order."""

import asyncio
import re

import httpx
import pytest

from testkit.jaeger import StoredTrace, stored_trace
from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.xdist_group("stack")

PROCESSES = {"gateway", "orders", "notifications", "workers", "users"}
SENT = "send notification"
MOST_SPANS = 29


async def emails_to(stack: Stack, address: str) -> list[str]:
    """Subjects of the emails to `address`."""
    async with httpx.AsyncClient(base_url=stack.mailpit, timeout=PATIENCE_S) as mailpit:
        messages = (await mailpit.get("/api/v1/messages", params={"limit": 500})).raise_for_status().json()["messages"]
    return [mail["Subject"] for mail in messages if address in {to["Address"] for to in mail["To"]}]


async def available(shopper: Shopper, sku: str) -> int:
    left: int = (await shopper.client.get(f"/v2/products/{sku}")).json()["available"]
    return left


def trace_id_of(response: httpx.Response) -> str:
    return response.headers["traceresponse"].split("-")[1]


def _content(frame: dict[str, object]) -> dict[str, object]:
    """What every delivery of a notification has in common: its span is each delivery's own, the trace is not."""
    return frame | {"traceparent": str(frame["traceparent"]).split("-")[1]}


class TestOrderJourney:
    async def test_an_order_is_placed_packed_and_shipped_in_one_trace(
        self, stack: Stack, shopper: Shopper, jaeger: httpx.AsyncClient
    ) -> None:
        sku = (await shopper.client.get("/v2/products")).json()["items"][0]["sku"]
        async with shopper.device() as device:
            placed = await shopper.place_order((sku, 2))
            assert placed.status_code == 201
            order = placed.json()
            frames = await device.received("order.placed", "order.packed", "order.shipped")

        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        of_order = [frame for frame in frames if frame["data"].get("order_id") == order["id"]]
        assert [frame["kind"] for frame in of_order] == ["order.placed", "order.packed", "order.shipped"]
        trace_id = trace_id_of(placed)
        assert {frame["traceparent"].split("-")[1] for frame in of_order} == {trace_id}

        shipped = await shopper.get(f"/v2/orders/{order['id']}")
        assert shipped.json()["status"] == "shipped"

        async def all_emails() -> bool:
            return len(await emails_to(stack, shopper.email)) >= 3

        await eventually(all_emails, what="the welcome, the confirmation and the shipping email")
        assert len(await emails_to(stack, shopper.email)) == 3

        trace = await self._complete(jaeger, trace_id)
        assert trace.services == PROCESSES
        assert len(trace.spans) <= MOST_SPANS
        assert [root.operation for root in trace.roots] == ["POST /v2/orders"]
        self._assert_hops(trace)
        await self._assert_a_line_per_hop(stack, trace_id)

    async def _complete(self, jaeger: httpx.AsyncClient, trace_id: str) -> StoredTrace:
        async def complete() -> StoredTrace | None:
            trace = await stored_trace(jaeger, trace_id)
            whole = trace.services == PROCESSES and len(trace.named(SENT)) >= 3 and len(trace.roots) == 1
            return trace if whole and len(trace.named("SMTP send")) == 2 else None

        trace = await eventually(complete, what="the complete trace")
        assert trace is not None
        return trace

    @staticmethod
    def _assert_hops(trace: StoredTrace) -> None:
        """Parent and child all the way: the frame's span leads back over the stream to the gateway."""
        paths = [trace.path_to_root(span) for span in trace.named(SENT)]
        assert min(paths, key=len) == [
            f"notifications {SENT}",
            "notifications process events:orders",
            "orders publish events:orders",
            "orders POST /orders",
            "gateway POST /orders",
            "gateway POST /v2/orders",
        ]
        lookups = [span for span in trace.spans.values() if span.service == "users"]
        assert any("workers process events:orders" in trace.path_to_root(span) for span in lookups)

    @staticmethod
    async def _assert_a_line_per_hop(stack: Stack, trace_id: str) -> None:
        async with httpx.AsyncClient(base_url=stack.loki, timeout=PATIENCE_S) as loki:

            async def services_with_lines() -> bool:
                query = f'{{service_namespace="hopline"}} | trace_id="{trace_id}"'
                response = await loki.get("/loki/api/v1/query_range", params={"query": query, "limit": 500})
                streams = response.raise_for_status().json()["data"]["result"]
                return {stream["stream"]["service_name"] for stream in streams} == PROCESSES

            await eventually(services_with_lines, what="a log line of each process")

    async def test_a_cancelled_order_returns_its_stock_and_says_so(self, stack: Stack, shopper: Shopper) -> None:
        sku = (await shopper.client.get("/v2/products", params={"limit": 2})).json()["items"][1]["sku"]
        async with shopper.device() as device:
            before = await available(shopper, sku)
            cancelled = await shopper.cancelled_order(sku)
            assert cancelled.json()["status"] == "cancelled"
            frames = await device.received("order.placed", "order.cancelled")
        too_late = {frame["data"]["order_id"] for frame in frames if frame["kind"] == "order.placed"}
        too_late.discard(cancelled.json()["id"])
        assert await available(shopper, sku) == before - len(too_late)

    async def test_a_second_device_catches_up_from_its_cursor(self, shopper: Shopper) -> None:
        sku = (await shopper.client.get("/v2/products")).json()["items"][2]["sku"]
        async with shopper.device() as first:
            await shopper.place_order((sku, 1))
            await first.received("order.shipped")
        async with shopper.device(cursor=first.frames[0]["seq"]) as second:
            await second.received("order.shipped")
        assert [_content(frame) for frame in second.frames] == [_content(frame) for frame in first.frames[1:]]

    async def test_dashboard_and_summary_gather_what_belongs_together(self, shopper: Shopper) -> None:
        sku = (await shopper.client.get("/v2/products")).json()["items"][3]["sku"]
        async with shopper.device() as device:
            order = (await shopper.place_order((sku, 1))).json()
            await device.received("order.shipped")
        dashboard = (await shopper.get("/v2/dashboard")).json()
        assert dashboard["user"]["email"] == shopper.email
        assert [recent["id"] for recent in dashboard["recent_orders"]] == [order["id"]]
        assert dashboard["notifications"]["unread"] == len(device.frames)
        assert dashboard["degraded"] == []
        summary = (await shopper.get(f"/v2/orders/{order['id']}/summary")).json()
        assert summary["order"]["id"] == order["id"]
        assert summary["user"]["id"] == shopper.user["id"]
        assert [item["kind"] for item in summary["notifications"]][-1:] == ["order.shipped"]


class TestConsole:
    def test_the_demo_tells_the_journey(self, stack: Stack) -> None:
        told = stack.run("console", "demo")
        assert told.returncode == 0, told.stdout + told.stderr
        for word in (*PROCESSES, "order.shipped", "POST /v2/orders"):
            assert word in told.stdout

    async def test_any_trace_can_be_printed_with_its_log_lines(self, stack: Stack, shopper: Shopper) -> None:
        response = await shopper.get("/v2/users/me")

        def printed() -> str | None:
            told = stack.run("console", "trace", trace_id_of(response))
            return told.stdout if "GET /v2/users/me" in told.stdout and "http_request" in told.stdout else None

        assert await eventually(printed, what="the trace on the terminal")


class TestRoom:
    async def test_shows_stock_and_viewers_on_every_socket_in_it(self, stack: Stack, shopper: Shopper) -> None:
        sku = (await shopper.client.get("/v2/products")).json()["items"][0]["sku"]
        before = await available(shopper, sku)
        done = await asyncio.to_thread(stack.run, "console", "room", sku)
        assert done.returncode == 0, done.stdout + done.stderr
        frames = re.findall(r"ms +(joined|viewers|stock) *(.*)", done.stdout)
        assert [frame for frame, _ in frames] == ["joined", "joined", "viewers", "stock", "stock", "viewers"]
        ordered, cancelled = (re.fullmatch(r"available (\d+), version (\d+)", shown) for _, shown in frames[3:5])
        assert ordered
        assert cancelled
        assert int(cancelled[1]) - int(ordered[1]) == 1
        assert int(cancelled[2]) - int(ordered[2]) >= 1
        assert await available(shopper, sku) == before
