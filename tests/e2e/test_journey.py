"""One order from the gateway to the WebSocket and the mailbox has one trace id, also in its frames and log records.

The spans of the trace are checked in `test_traces.py`.
"""

import asyncio
import re
from contextlib import AsyncExitStack

import httpx
import pytest

from hopline_client import api
from hopline_client.backoff import Backoff
from hopline_client.device import Device
from hopline_client.realtime import Frame
from hopline_client.rest import Client
from testkit.jaeger import get_stored_trace
from testkit.loki import records_of_trace
from testkit.mailpit import wait_for_order_emails
from testkit.shopper import Shopper
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S, eventually

pytestmark = pytest.mark.xdist_group("stack")

SERVICES = {"gateway", "orders", "notifications", "workers", "users"}


async def get_stock(shopper: Shopper, sku: str) -> int:
    """Return the number of available units of a product."""
    return (await shopper.call(api.get_product(sku)))["available"]


def without_span_id(frame: Frame) -> dict[str, object]:
    """Return the frame without the id of its span, which differs between deliveries of a notification."""
    return frame | {"traceparent": frame.trace_id}


class TestOrderJourney:
    async def test_order_is_placed_packed_and_shipped_with_one_trace_id(
        self, stack: Stack, shopper: Shopper, jaeger: httpx.AsyncClient
    ) -> None:
        sku = (await shopper.products())[0]["sku"]
        async with shopper.device() as device:
            placed = await shopper.place_order((sku, 2))
            assert placed.status_code == 201
            order = placed.json()
            frames = await device.wait_for("order.placed", "order.packed", "order.shipped")

        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        of_order = [frame for frame in frames if frame["data"].get("order_id") == order["id"]]
        assert [frame["kind"] for frame in of_order] == ["order.placed", "order.packed", "order.shipped"]
        trace_id = api.trace_id(placed)
        assert trace_id
        assert {frame.trace_id for frame in of_order} == {trace_id}

        assert (await shopper.call(api.get_order(order["id"])))["status"] == "shipped"

        await wait_for_order_emails(stack, shopper.email)

        await self._assert_log_records(stack, jaeger, trace_id)

    @staticmethod
    async def _assert_log_records(stack: Stack, jaeger: httpx.AsyncClient, trace_id: str) -> None:
        """Check that each service has a log record, and that the span of each log record belongs to its service.

        The order of the records is not checked, because a service writes the record of a request after its response.
        """

        async def records_have_spans() -> bool:
            records = await records_of_trace(stack, trace_id)
            spans = (await get_stored_trace(jaeger, trace_id)).spans
            services = {span_id: span.service for span_id, span in spans.items()}
            return {record.service for record in records} == SERVICES and all(
                services.get(record.labels["span_id"]) == record.service for record in records
            )

        await eventually(records_have_spans, what="log records of each service, each with a span of its service")

    async def test_cancelled_order_returns_its_stock_and_is_notified(self, shopper: Shopper) -> None:
        sku = (await shopper.products())[1]["sku"]
        async with shopper.device() as device:
            stock_before = await get_stock(shopper, sku)
            cancelled = await shopper.place_and_cancel_order(sku)
            assert cancelled.json()["status"] == "cancelled"
            frames = await device.wait_for("order.placed", "order.cancelled")
        placed_orders = {frame["data"]["order_id"] for frame in frames if frame["kind"] == "order.placed"}
        packed_orders = placed_orders - {cancelled.json()["id"]}  # they were packed before they could be cancelled
        assert await get_stock(shopper, sku) == stock_before - len(packed_orders)

    async def test_second_device_receives_the_notifications_after_its_cursor(self, shopper: Shopper) -> None:
        sku = (await shopper.products())[2]["sku"]
        async with shopper.device() as first:
            await shopper.place_order((sku, 1))
            await first.wait_for("order.shipped")
        async with shopper.device(cursor=first.frames[0]["seq"]) as second:
            await second.wait_for("order.shipped")
        assert [*map(without_span_id, second.frames)] == [*map(without_span_id, first.frames[1:])]

    async def test_dashboard_and_summary_contain_data_of_all_services(self, shopper: Shopper) -> None:
        sku = (await shopper.products())[3]["sku"]
        async with shopper.device() as device:
            order = (await shopper.place_order((sku, 1))).json()
            await device.wait_for("order.shipped")
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
        assert summary["notifications"][-1]["kind"] == "order.shipped"


class TestShopClient:
    async def test_expired_token_is_refreshed_once_when_several_requests_use_it(self, shopper: Shopper) -> None:
        client = Client(http=shopper.http)
        assert shopper.tokens
        client.tokens = {**shopper.tokens, "access_token": "expired"}
        users = await asyncio.gather(*(client.call(api.get_user()) for _ in range(3)))
        assert users == [shopper.user] * 3
        assert client.tokens["refresh_token"] != shopper.tokens["refresh_token"]

    async def test_device_receives_all_notifications_when_its_connections_are_lost(self, shopper: Shopper) -> None:
        sku = (await shopper.products())[0]["sku"]
        async with Device(client=shopper, backoff=Backoff(first_s=0.1, max_s=0.1)) as device:
            seqs = list[int]()
            for _ in range(3):
                device.abort()
                order_id = (await shopper.place_order((sku, 1))).json()["id"]
                async with asyncio.timeout(TIMEOUT_S):
                    async for frame in device.notifications():
                        seqs.append(frame["seq"])
                        if frame["kind"] == "order.placed" and frame["data"]["order_id"] == order_id:
                            break
        assert seqs == list(range(1, len(seqs) + 1))


class TestConsole:
    def test_demo_prints_services_notifications_and_trace(self, stack: Stack) -> None:
        demo = stack.run("console", "demo")
        assert demo.returncode == 0, demo.stdout + demo.stderr
        for text in (*SERVICES, "order.shipped", "POST /v2/orders"):
            assert text in demo.stdout

    async def test_trace_is_printed_with_its_log_records(self, stack: Stack, shopper: Shopper) -> None:
        response = await shopper.get("/v2/users/me")

        def trace_is_printed() -> bool:
            output = stack.run("console", "trace", api.trace_id(response) or "").stdout
            return "GET /v2/users/me" in output and "http_request" in output

        await eventually(trace_is_printed, what="the trace and its log record on the terminal")


class TestRoom:
    @pytest.mark.parametrize("others", [0, 1])
    async def test_every_socket_receives_stock_and_viewers(self, stack: Stack, shopper: Shopper, others: int) -> None:
        """`others` is the number of sockets that are already in the room, such as that of an open page."""
        sku = (await shopper.products())[0]["sku"]
        stock_before = await get_stock(shopper, sku)
        async with AsyncExitStack() as devices:
            for _ in range(others):
                device = await devices.enter_async_context(shopper.device())
                await device.join(f"product:{sku}")
            room = await asyncio.to_thread(stack.run, "console", "room", sku)
        assert room.returncode == 0, room.stdout + room.stderr
        frames = re.findall(r"ms +(joined|viewers|stock) *(.*)", room.stdout)
        assert [frame_type for frame_type, _ in frames] == ["joined", "joined", "viewers", "stock", "stock", "viewers"]
        viewers = [text for frame_type, text in frames if frame_type == "viewers"]
        assert viewers == [f"viewers {others + 2}", f"viewers {others + 1}"]
        stock_frames = [text for frame_type, text in frames if frame_type == "stock"]
        matches = [re.fullmatch(r"available (\d+), version (\d+)", text) for text in stock_frames]
        (stock_after_order, order_version), (stock_after_cancellation, cancellation_version) = (
            (int(match[1]), int(match[2])) for match in matches if match
        )
        assert stock_after_cancellation - stock_after_order == 1
        assert cancellation_version > order_version
        assert await get_stock(shopper, sku) == stock_before
