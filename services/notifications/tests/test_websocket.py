"""The WebSocket protocol: hello, welcome, notifications, read marks and invalid frames."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from services.notifications.tests.clients import Device, raw_socket, send_frame, wait_close_code
from services.notifications.tests.factories import PING_S, Cluster, Instance, order_event
from websockets.asyncio.client import ClientConnection

from testkit.metrics import Metrics
from testkit.spans import Spans
from testkit.waiting import TIMEOUT_S, eventually


class TestHello:
    async def test_hello_is_welcomed_and_missed_notifications_follow(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=3)
        device = Device(user)
        device.cursor = 1
        async with device.connected(instance):
            await device.wait_until_seen(3)
        assert device.frames[0] == {"t": "welcome", "head": 3, "read_seq": 0, "recovered": True, "ping_s": PING_S}
        assert device.seen == [2, 3]

    async def test_welcome_is_not_recovered_when_too_much_was_missed(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=501, published=False)
        device = Device(user)
        async with device.connected(instance):
            assert device.frames_of("welcome")[0]["recovered"] is False
            await cluster.add_notifications(user)
            await device.wait_until_seen(502)
        assert device.seen == [502]

    async def test_welcome_is_recovered_when_the_limit_was_missed(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=500, published=False)
        device = Device(user)
        async with device.connected(instance):
            await device.wait_until_seen(500)
        assert device.frames_of("welcome")[0]["recovered"] is True

    async def test_socket_is_closed_when_hello_is_late(self, cluster: Cluster) -> None:
        instance = await cluster.start(ws_hello_seconds=0.1)
        async with raw_socket(instance) as socket:
            assert await wait_close_code(socket) == 4401

    async def test_socket_is_closed_when_too_many_wait_for_hello(self, cluster: Cluster, user: UUID) -> None:
        instance = await cluster.start(ws_silent_connections=1, ws_hello_seconds=60)
        hello = {"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0}
        async with raw_socket(instance) as silent:
            async with raw_socket(instance) as one_too_many:
                assert await wait_close_code(one_too_many) == 1013
            await send_frame(silent, hello)
            await silent.recv()
            async with raw_socket(instance) as another, raw_socket(instance) as one_too_many:
                assert await wait_close_code(one_too_many) == 1013
                await another.close()

    async def test_socket_is_closed_when_too_many_of_an_address_wait_for_hello(
        self, cluster: Cluster, user: UUID
    ) -> None:
        instance = await cluster.start(ws_silent_connections_per_address=1, ws_hello_seconds=60)
        async with raw_socket(instance):
            async with raw_socket(instance) as one_too_many:
                assert await wait_close_code(one_too_many) == 1013
            async with raw_socket(instance, local_addr=("127.0.0.2", 0)) as elsewhere:
                ticket = await instance.ticket(user)
                await send_frame(elsewhere, {"t": "hello", "v": 1, "ticket": ticket, "cursor": 0})
                assert '"welcome"' in await elsewhere.recv(decode=True)

    async def test_socket_is_closed_when_the_ticket_is_used(self, instance: Instance, user: UUID) -> None:
        hello = {"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0}
        async with raw_socket(instance) as first, raw_socket(instance) as second:
            await send_frame(first, hello)
            await first.recv()
            await send_frame(second, hello)
            assert await wait_close_code(second) == 4401

    async def test_socket_is_closed_when_the_ticket_is_expired(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        ticket = await instance.ticket(user)
        (key,) = await cluster.redis.keys("notifications:ticket:*")
        assert 0 < await cluster.redis.ttl(key) <= 30
        await cluster.redis.pexpire(key, 1)

        async def expired() -> bool:
            return not await cluster.redis.exists(key)

        await eventually(expired)
        async with raw_socket(instance) as socket:
            await send_frame(socket, {"t": "hello", "v": 1, "ticket": ticket, "cursor": 0})
            assert await wait_close_code(socket) == 4401

    @pytest.mark.parametrize(
        "members",
        [
            {"ticket": "invented"},
            {"ticket": ""},
            {"ticket": None},
            {"v": 2},
            {"cursor": -1},
            {"cursor": "1"},
            {"cursor": 2**63},
            {"t": "pong"},
            {"t": "dance"},
        ],
    )
    async def test_socket_is_closed_when_hello_is_invalid(self, instance: Instance, members: dict[str, Any]) -> None:
        async with raw_socket(instance) as socket:
            await send_frame(socket, {"t": "hello", "v": 1, "ticket": "x", "cursor": 0} | members)
            assert await wait_close_code(socket) == 4401

    @pytest.mark.parametrize("message", ["", "{", "[]", "null", "\u0000", b"{}"])
    async def test_socket_is_closed_when_the_first_message_is_not_json(
        self, instance: Instance, message: str | bytes
    ) -> None:
        async with raw_socket(instance) as socket:
            await socket.send(message)
            assert await wait_close_code(socket) == 4401

    async def test_socket_is_closed_when_the_first_frame_is_too_large(self, instance: Instance) -> None:
        async with raw_socket(instance) as socket:
            await send_frame(socket, {"t": "hello", "v": 1, "ticket": "x" * 70_000, "cursor": 0})
            assert await wait_close_code(socket) == 1009

    async def test_socket_is_closed_when_the_user_has_too_many(
        self, cluster: Cluster, user: UUID, metrics: Metrics
    ) -> None:
        instance = await cluster.start(ws_connections_per_user=1)
        first, second, other = Device(user), Device(user), Device(uuid4())
        async with first.connected(instance):
            async with second.connected(instance):
                assert await second.wait_closed() == 4429
            assert metrics.value("hopline.websocket.closed", {"hopline.websocket.close_code": 4429}) == 1
            async with other.connected(instance):
                assert other.frames_of("welcome")
        await eventually(lambda: not instance.app.state.realtime.hub.users)
        async with second.connected(instance):
            assert second.frames_of("welcome")

    async def test_socket_is_closed_when_the_process_has_too_many(self, cluster: Cluster, user: UUID) -> None:
        instance = await cluster.start(ws_connections=1)
        other = Device(uuid4())
        async with Device(user).connected(instance), other.connected(instance):
            assert await other.wait_closed() == 4429


class TestConversation:
    async def test_notification_is_pushed_when_an_event_arrives(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            event = order_event("placed", user)
            await cluster.append_events(event)
            await device.wait_until_seen(1)
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
            assert device._socket is not None
            await device._socket.send(message)
            assert await device.wait_closed() == 4401

    async def test_socket_is_closed_when_hello_is_repeated(self, instance: Instance, user: UUID) -> None:
        device = Device(user)
        async with device.connected(instance):
            await device.send({"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0})
            assert await device.wait_closed() == 4401

    async def test_pings_have_the_head_of_the_feed(self, cluster: Cluster, instance: Instance, user: UUID) -> None:
        await cluster.add_notifications(user, count=2)
        device = Device(user)
        async with device.connected(instance):
            await eventually(lambda: len(device.frames_of("ping")) >= 3)
            assert device.frames_of("ping")[-1] == {"t": "ping", "head": 2, "read_seq": 0}
            assert device.close_code is None

    async def test_socket_is_closed_when_a_ping_has_no_pong(self, instance: Instance, user: UUID) -> None:
        device = Device(user, sends_pongs=False)
        async with device.connected(instance):
            assert await device.wait_closed() == 4408
        assert len(device.frames_of("ping")) == 1

    async def test_device_is_served_when_it_reconnects_immediately(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        for head in range(1, 6):
            async with device.connected(instance):
                await cluster.add_notifications(user)
                await device.wait_until_seen(head)
        assert device.seen == [1, 2, 3, 4, 5]


class TestReads:
    async def test_read_reaches_all_devices_of_the_user_only(self, cluster: Cluster, user: UUID) -> None:
        here, there = await cluster.start(), await cluster.start()
        await cluster.add_notifications(user, count=3)
        devices = [Device(user), Device(user), Device(uuid4())]
        async with devices[0].connected(here), devices[1].connected(there), devices[2].connected(here):
            await devices[0].send({"t": "read", "up_to": 2})
            await eventually(lambda: all(len(device.frames_of("read")) == 1 for device in devices[:2]))
            async with there.client(user) as client:
                assert (await client.get("/notifications")).json()["read_seq"] == 2
                await client.post("/notifications/read", json={"up_to": 3})
            await eventually(lambda: all(len(device.frames_of("read")) == 2 for device in devices[:2]))
            for device in devices[:2]:
                assert [frame["read_seq"] for frame in device.frames_of("read")] == [2, 3]
            assert devices[2].frames_of("read") == []

    async def test_read_is_not_sent_when_the_mark_does_not_change(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user)
        device = Device(user)
        async with device.connected(instance):
            for up_to in (0, 1, 1, 9):
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
            await live.wait_until_seen(1)
        async with late.connected(instance):
            await late.wait_until_seen(1)
        process = spans.one("process events:orders")
        await eventually(lambda: len(spans.named("send notification")) == 2)
        for send, device in zip(spans.named("send notification"), (live, late), strict=True):
            assert send.parent is not None
            assert process.context is not None
            assert send.parent.span_id == process.context.span_id
            (frame,) = device.frames_of("n")
            assert frame["traceparent"] == f"00-{trace_id}-{send.context.span_id:016x}-01"
            assert frame["baggage"] == "hopline.synthetic=true"
            assert send.attributes is not None
            assert send.attributes["hopline.synthetic"] == "true"
            assert send.attributes["messaging.message.id"] == frame["id"]

    async def test_pings_and_sockets_create_no_span(
        self, cluster: Cluster, instance: Instance, user: UUID, spans: Spans
    ) -> None:
        await cluster.add_notifications(user, count=2, published=False)
        ticket = await instance.ticket(user)
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
