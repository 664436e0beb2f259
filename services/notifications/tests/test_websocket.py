"""The WebSocket protocol after the welcome: notifications, heartbeats, read marks and invalid frames."""

import asyncio
from uuid import UUID, uuid4

import orjson
import pytest
from services.notifications.tests.clients import Device, hello_frame, raw_socket, send_frame
from services.notifications.tests.factories import Cluster, Instance, order_event
from websockets.asyncio.client import ClientConnection

from notifications.errors import CloseCode
from testkit.spans import Spans
from testkit.waiting import TIMEOUT_S, eventually


class TestConversation:
    async def test_notification_is_pushed_when_an_event_arrives(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            event = order_event("placed", user)
            await cluster.append_events(event)
            await device.wait_until_received(1)
        (frame,) = device.frames_of("n")
        assert (frame["kind"], frame["id"]) == ("order.placed", str(event.id))
        assert frame["data"]["order_id"] == event.subject
        assert set(frame) == {"t", "seq", "id", "kind", "data", "at", "traceparent"}

    @pytest.mark.parametrize(
        "message", ["{", '{"t":"pong"}', '{"t":"read","up_to":-1}', '{"t":"n"}', '{"t":"hello"}', b"\x00"]
    )
    async def test_socket_is_closed_when_a_frame_is_invalid(
        self, instance: Instance, user: UUID, message: str | bytes
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            await device.send_message(message)
            assert await device.wait_for_close_code() == CloseCode.UNAUTHORIZED

    async def test_socket_is_closed_when_hello_is_repeated(self, instance: Instance, user: UUID) -> None:
        device = Device(user)
        async with device.connected(instance):
            await device.send(hello_frame(await instance.issue_ticket(user)))
            assert await device.wait_for_close_code() == CloseCode.UNAUTHORIZED

    async def test_pings_have_the_head_and_the_read_mark_of_the_feed(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=2)
        device = Device(user)
        async with device.connected(instance):
            await eventually(lambda: len(device.frames_of("ping")) >= 3)
            assert device.frames_of("ping")[-1] == {"t": "ping", "head": 2, "read_seq": 0}
            assert device.close_code is None

    async def test_socket_is_closed_when_a_ping_has_no_pong(self, instance: Instance, user: UUID) -> None:
        device = Device(user, sends_pongs=False)
        async with device.connected(instance):
            assert await device.wait_for_close_code() == CloseCode.NO_PONG
        assert len(device.frames_of("ping")) == 1

    async def test_device_is_served_when_it_reconnects_immediately(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        for head in range(1, 6):
            async with device.connected(instance):
                await cluster.add_notifications(user)
                await device.wait_until_received(head)
        assert device.received == [1, 2, 3, 4, 5]


class TestReadMarks:
    async def test_read_mark_is_sent_to_all_devices_of_the_user_only(self, cluster: Cluster, user: UUID) -> None:
        first, second = await cluster.start_instance(), await cluster.start_instance()
        await cluster.add_notifications(user, count=3)
        devices = [Device(user), Device(user)]
        other_user = Device(uuid4())
        async with devices[0].connected(first), devices[1].connected(second), other_user.connected(first):
            await devices[0].send({"t": "read", "up_to": 2})
            await eventually(lambda: all(len(device.frames_of("read")) == 1 for device in devices))
            async with second.client(user) as client:
                assert (await client.get("/notifications")).json()["read_seq"] == 2
                await client.post("/notifications/read", json={"up_to": 3})
            await eventually(lambda: all(len(device.frames_of("read")) == 2 for device in devices))
            for device in devices:
                assert [frame["read_seq"] for frame in device.frames_of("read")] == [2, 3]
            assert other_user.frames_of("read") == []

    async def test_read_mark_is_sent_only_when_it_advances(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user)
        device = Device(user)
        async with device.connected(instance):
            for up_to in (0, 1, 1, 9):  # only the first 1 advances the mark; the feed ends at 1
                await device.send({"t": "read", "up_to": up_to})
            await eventually(
                lambda: (
                    device.frames_of("read")
                    and device.frames_of("ping")
                    and device.frames_of("ping")[-1]["read_seq"] == 1
                )
            )
        assert device.frames_of("read") == [{"t": "read", "read_seq": 1}]


class TestTrace:
    async def test_frame_continues_the_trace_of_the_event(
        self, cluster: Cluster, instance: Instance, user: UUID, spans: Spans
    ) -> None:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        live, late = Device(user), Device(user)
        async with live.connected(instance):
            await cluster.append_events(
                order_event(
                    "placed",
                    user,
                    traceparent=f"00-{trace_id}-b7ad6b7169203331-01",
                    baggage="hopline.synthetic=true",
                )
            )
            await live.wait_until_received(1)
        async with late.connected(instance):
            await late.wait_until_received(1)
        consumer_span = spans.one("process events:orders")
        await eventually(lambda: len(spans.named("send notification")) == 2)
        for span, device in zip(spans.named("send notification"), (live, late), strict=True):
            assert span.parent is not None
            assert consumer_span.context is not None
            assert span.parent.span_id == consumer_span.context.span_id
            (frame,) = device.frames_of("n")
            assert frame["traceparent"] == f"00-{trace_id}-{span.context.span_id:016x}-01"
            assert frame["baggage"] == "hopline.synthetic=true"
            assert span.attributes is not None
            assert span.attributes["hopline.synthetic"] == "true"
            assert span.attributes["messaging.message.id"] == frame["id"]

    async def test_pings_and_sockets_create_no_span(
        self, cluster: Cluster, instance: Instance, user: UUID, spans: Spans
    ) -> None:
        await cluster.add_notifications(user, count=2, published=False)
        ticket = await instance.issue_ticket(user)
        await eventually(lambda: spans.named("POST /ws-tickets"))
        spans.clear()
        async with raw_socket(instance) as socket:
            await send_frame(socket, {"t": "hello", "v": 1, "ticket": ticket, "cursor": 2})
            for _ in range(3):
                await _receive_frame(socket, "ping")
                await send_frame(socket, {"t": "pong", "cursor": 2})
            await send_frame(socket, {"t": "read", "up_to": 2})
            await _receive_frame(socket, "read")
        assert [span.name for span in spans.finished()] == []


async def _receive_frame(socket: ClientConnection, frame_type: str) -> None:
    """Receive frames until one has this type."""
    async with asyncio.timeout(TIMEOUT_S):
        while orjson.loads(await socket.recv())["t"] != frame_type:
            pass
