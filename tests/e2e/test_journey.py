"""One order from the gateway to the WebSocket and the mailbox: one trace, one log record per hop, in order."""

import asyncio
import re

import httpx
import pytest

from hopline_client import api
from hopline_client.backoff import Backoff
from hopline_client.device import Device
from hopline_client.realtime import Frame
from hopline_client.rest import Client
from testkit.jaeger import StoredTrace, stored_trace
from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S, eventually

pytestmark = pytest.mark.xdist_group("stack")

PROCESSES = {"gateway", "orders", "notifications", "workers", "users"}
SENT = "send notification"
MOST_SPANS = 29


async def emails_to(stack: Stack, address: str) -> list[str]:
    """Return the subjects of the emails to `address`."""
    async with httpx.AsyncClient(base_url=stack.mailpit, timeout=TIMEOUT_S) as mailpit:
        messages = (await mailpit.get("/api/v1/messages", params={"limit": 500})).raise_for_status().json()["messages"]
    return [mail["Subject"] for mail in messages if address in {to["Address"] for to in mail["To"]}]


async def available(shopper: Shopper, sku: str) -> int:
    return (await shopper.call(api.get_product(sku)))["available"]


def _content(frame: Frame) -> dict[str, object]:
    """The members that all deliveries of a notification have in common: each delivery has its own span in the trace."""
    return frame | {"traceparent": frame.trace_id}


class TestOrderJourney:
    async def test_order_is_placed_packed_and_shipped_in_one_trace(
        self, stack: Stack, shopper: Shopper, jaeger: httpx.AsyncClient
    ) -> None:
        sku = (await shopper.products())[0]["sku"]
        async with shopper.device() as device:
            placed = await shopper.place_order((sku, 2))
            assert placed.status_code == 201
            order = placed.json()
            frames = await device.received("order.placed", "order.packed", "order.shipped")

        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        of_order = [frame for frame in frames if frame["data"].get("order_id") == order["id"]]
        assert [frame["kind"] for frame in of_order] == ["order.placed", "order.packed", "order.shipped"]
        trace_id = api.trace_id(placed)
        assert trace_id
        assert {frame.trace_id for frame in of_order} == {trace_id}

        assert (await shopper.call(api.get_order(order["id"])))["status"] == "shipped"

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
        """Check the parents of all spans, from the frame's span over the stream to the gateway."""
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
        async with httpx.AsyncClient(base_url=stack.loki, timeout=TIMEOUT_S) as loki:

            async def services_with_lines() -> bool:
                query = f'{{service_namespace="hopline"}} | trace_id="{trace_id}"'
                response = await loki.get("/loki/api/v1/query_range", params={"query": query, "limit": 500})
                streams = response.raise_for_status().json()["data"]["result"]
                return {stream["stream"]["service_name"] for stream in streams} == PROCESSES

            await eventually(services_with_lines, what="a log line of each process")

    async def test_a_cancelled_order_returns_its_stock_and_says_so(self, stack: Stack, shopper: Shopper) -> None:
        sku = (await shopper.products())[1]["sku"]
        async with shopper.device() as device:
            before = await available(shopper, sku)
            cancelled = await shopper.cancelled_order(sku)
            assert cancelled.json()["status"] == "cancelled"
            frames = await device.received("order.placed", "order.cancelled")
        too_late = {frame["data"]["order_id"] for frame in frames if frame["kind"] == "order.placed"}
        too_late.discard(cancelled.json()["id"])
        assert await available(shopper, sku) == before - len(too_late)

    async def test_a_second_device_catches_up_from_its_cursor(self, shopper: Shopper) -> None:
        sku = (await shopper.products())[2]["sku"]
        async with shopper.device() as first:
            await shopper.place_order((sku, 1))
            await first.received("order.shipped")
        async with shopper.device(cursor=first.frames[0]["seq"]) as second:
            await second.received("order.shipped")
        assert [_content(frame) for frame in second.frames] == [_content(frame) for frame in first.frames[1:]]

    async def test_dashboard_and_summary_gather_what_belongs_together(self, shopper: Shopper) -> None:
        sku = (await shopper.products())[3]["sku"]
        async with shopper.device() as device:
            order = (await shopper.place_order((sku, 1))).json()
            await device.received("order.shipped")
        dashboard = await shopper.call(api.get_dashboard())
        assert dashboard["degraded"] == []
        assert dashboard["user"]
        assert dashboard["recent_orders"]
        assert dashboard["notifications"]
        assert dashboard["user"]["email"] == shopper.email
        assert [recent["id"] for recent in dashboard["recent_orders"]] == [order["id"]]
        assert dashboard["notifications"]["unread"] == len(device.frames)
        summary = await shopper.call(api.get_summary(order["id"]))
        assert summary["order"]["id"] == order["id"]
        assert summary["user"]["id"] == shopper.user["id"]
        assert [item["kind"] for item in summary["notifications"]][-1:] == ["order.shipped"]


class TestClient:
    async def test_refreshes_an_expired_token_once(self, shopper: Shopper) -> None:
        client = Client(http=shopper.http)
        assert shopper.tokens
        client.tokens = {**shopper.tokens, "access_token": "expired"}
        users = await asyncio.gather(*(client.call(api.get_user()) for _ in range(3)))
        assert users == [shopper.user] * 3
        assert client.tokens["refresh_token"] != shopper.tokens["refresh_token"]

    async def test_receives_everything_although_its_connections_are_lost(self, shopper: Shopper) -> None:
        product, *_ = await shopper.products()
        async with Device(client=shopper, backoff=Backoff(first_s=0.1, max_s=0.1)) as device:
            seqs = list[int]()
            for _ in range(3):
                device.abort()
                placed = (await shopper.place_order((product["sku"], 1))).json()["id"]
                async with asyncio.timeout(TIMEOUT_S):
                    async for frame in device.notifications():
                        seqs.append(frame["seq"])
                        if frame["kind"] == "order.placed" and frame["data"]["order_id"] == placed:
                            break
        assert seqs == list(range(1, len(seqs) + 1))


class TestConsole:
    def test_demo_prints_the_journey(self, stack: Stack) -> None:
        reported = stack.run("console", "demo")
        assert reported.returncode == 0, reported.stdout + reported.stderr
        for word in (*PROCESSES, "order.shipped", "POST /v2/orders"):
            assert word in reported.stdout

    async def test_trace_is_printed_with_its_log_records(self, stack: Stack, shopper: Shopper) -> None:
        response = await shopper.get("/v2/users/me")

        def printed() -> str | None:
            reported = stack.run("console", "trace", api.trace_id(response) or "")
            return (
                reported.stdout if "GET /v2/users/me" in reported.stdout and "http_request" in reported.stdout else None
            )

        assert await eventually(printed, what="the trace on the terminal")


class TestRoom:
    async def test_shows_stock_and_viewers_on_every_socket_in_it(self, stack: Stack, shopper: Shopper) -> None:
        sku = (await shopper.products())[0]["sku"]
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
