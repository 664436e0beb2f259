"""The conversation: hello, welcome, notifications, reads, and what the server will not listen to."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.devices import Device, close_code, raw_socket, say
from services.notifications.tests.factories import PING_S, Instance, Stage, order_event

from testkit.spans import Spans
from testkit.waiting import PATIENCE_S, eventually


class TestHello:
    async def test_is_welcomed_and_brought_up_to_date(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(user, count=3)
        device = Device(user)
        device.cursor = 1
        async with device.connected(instance):
            await device.sees(3)
        assert device.frames[0] == {"t": "welcome", "head": 3, "read_seq": 0, "recovered": True, "ping_s": PING_S}
        assert device.seen == [2, 3]

    async def test_of_who_missed_too_much_is_sent_to_the_pages(
        self, stage: Stage, instance: Instance, user: UUID
    ) -> None:
        await stage.add(user, count=501, published=False)
        device = Device(user)
        async with device.connected(instance):
            assert device.of("welcome")[0]["recovered"] is False
            await stage.add(user)
            await device.sees(502)
        assert device.seen == [502]

    async def test_of_who_missed_just_enough_is_replayed(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(user, count=500, published=False)
        device = Device(user)
        async with device.connected(instance):
            await device.sees(500)
        assert device.of("welcome")[0]["recovered"] is True

    async def test_has_to_come_in_time(self, stage: Stage) -> None:
        instance = await stage.start(ws_hello_seconds=0.1)
        async with raw_socket(instance) as socket:
            assert await close_code(socket) == 4401

    async def test_is_waited_for_from_so_many_at_once(self, stage: Stage, user: UUID) -> None:
        instance = await stage.start(ws_silent_connections=1, ws_hello_seconds=60)
        hello = {"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0}
        async with raw_socket(instance) as silent:
            async with raw_socket(instance) as one_too_many:
                assert await close_code(one_too_many) == 1013
            await say(silent, hello)
            await silent.recv()
            async with raw_socket(instance) as another, raw_socket(instance) as one_too_many:
                assert await close_code(one_too_many) == 1013
                await another.close()

    async def test_is_waited_for_from_so_many_of_one_address(self, stage: Stage, user: UUID) -> None:
        instance = await stage.start(ws_silent_connections_per_address=1, ws_hello_seconds=60)
        async with raw_socket(instance):
            async with raw_socket(instance) as one_too_many:
                assert await close_code(one_too_many) == 1013
            async with raw_socket(instance, local_addr=("127.0.0.2", 0)) as elsewhere:
                ticket = await instance.ticket(user)
                await say(elsewhere, {"t": "hello", "v": 1, "ticket": ticket, "cursor": 0})
                assert '"welcome"' in await elsewhere.recv(decode=True)

    async def test_takes_a_ticket_once(self, instance: Instance, user: UUID) -> None:
        hello = {"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0}
        async with raw_socket(instance) as first, raw_socket(instance) as second:
            await say(first, hello)
            await first.recv()
            await say(second, hello)
            assert await close_code(second) == 4401

    async def test_takes_no_expired_ticket(self, stage: Stage, instance: Instance, user: UUID) -> None:
        ticket = await instance.ticket(user)
        (key,) = await stage.redis.keys("notifications:ticket:*")
        assert 0 < await stage.redis.ttl(key) <= 30
        await stage.redis.pexpire(key, 1)

        async def expired() -> bool:
            return not await stage.redis.exists(key)

        await eventually(expired)
        async with raw_socket(instance) as socket:
            await say(socket, {"t": "hello", "v": 1, "ticket": ticket, "cursor": 0})
            assert await close_code(socket) == 4401

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
    async def test_has_to_be_a_good_one(self, instance: Instance, members: dict[str, Any]) -> None:
        async with raw_socket(instance) as socket:
            await say(socket, {"t": "hello", "v": 1, "ticket": "x", "cursor": 0} | members)
            assert await close_code(socket) == 4401

    @pytest.mark.parametrize("message", ["", "{", "[]", "null", "\u0000", b"{}"])
    async def test_has_to_be_json_text(self, instance: Instance, message: str | bytes) -> None:
        async with raw_socket(instance) as socket:
            await socket.send(message)
            assert await close_code(socket) == 4401

    async def test_goes_up_to_64_kib(self, instance: Instance) -> None:
        async with raw_socket(instance) as socket:
            await say(socket, {"t": "hello", "v": 1, "ticket": "x" * 70_000, "cursor": 0})
            assert await close_code(socket) in {1009, 4401}

    async def test_is_refused_where_the_user_has_too_many(self, stage: Stage, user: UUID) -> None:
        instance = await stage.start(ws_connections_per_user=1)
        first, second, other = Device(user), Device(user), Device(uuid4())
        async with first.connected(instance):
            async with second.connected(instance):
                assert await second.is_closed() == 4429
            async with other.connected(instance):
                assert other.of("welcome")
        await eventually(lambda: not instance.app.state.realtime.hub.users)
        async with second.connected(instance):
            assert second.of("welcome")


class TestConversation:
    async def test_pushes_what_happens(self, stage: Stage, instance: Instance, user: UUID) -> None:
        device = Device(user)
        async with device.connected(instance):
            event = order_event("placed", user)
            await stage.happen(event)
            await device.sees(1)
        (frame,) = device.of("n")
        assert (frame["kind"], frame["id"]) == ("order.placed", str(event.id))
        assert frame["data"]["order_id"] == event.subject
        assert set(frame) == {"t", "seq", "id", "kind", "data", "at", "traceparent"}

    @pytest.mark.parametrize(
        "message", ["{", '{"t":"pong"}', '{"t":"read","up_to":-1}', '{"t":"n"}', '{"t":"hello"}', b"\x00"]
    )
    async def test_ends_at_what_is_no_frame(self, instance: Instance, user: UUID, message: str | bytes) -> None:
        device = Device(user)
        async with device.connected(instance):
            assert device._socket is not None
            await device._socket.send(message)
            assert await device.is_closed() == 4401

    async def test_ends_at_a_second_hello(self, instance: Instance, user: UUID) -> None:
        device = Device(user)
        async with device.connected(instance):
            await device.say({"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0})
            assert await device.is_closed() == 4401

    async def test_goes_on_with_pings_that_tell_the_head(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(user, count=2)
        device = Device(user)
        async with device.connected(instance):
            await eventually(lambda: len(device.of("ping")) >= 3)
            assert device.of("ping")[-1] == {"t": "ping", "head": 2, "read_seq": 0}
            assert device.close_code is None

    async def test_ends_where_nobody_answers_pings(self, instance: Instance, user: UUID) -> None:
        device = Device(user, answers_pings=False)
        async with device.connected(instance):
            assert await device.is_closed() == 4408
        assert len(device.of("ping")) == 1

    async def test_serves_who_comes_back_at_once(self, stage: Stage, instance: Instance, user: UUID) -> None:
        device = Device(user)
        for head in range(1, 6):
            async with device.connected(instance):
                await stage.add(user)
                await device.sees(head)
        assert device.seen == [1, 2, 3, 4, 5]


class TestReads:
    async def test_reach_all_devices_of_the_user_only(self, stage: Stage, user: UUID) -> None:
        here, there = await stage.start(), await stage.start()
        await stage.add(user, count=3)
        devices = [Device(user), Device(user), Device(uuid4())]
        async with devices[0].connected(here), devices[1].connected(there), devices[2].connected(here):
            await devices[0].say({"t": "read", "up_to": 2})
            await eventually(lambda: all(len(device.of("read")) == 1 for device in devices[:2]))
            async with there.client(user) as client:
                assert (await client.get("/notifications")).json()["read_seq"] == 2
                await client.post("/notifications/read", json={"up_to": 3})
            await eventually(lambda: all(len(device.of("read")) == 2 for device in devices[:2]))
            for device in devices[:2]:
                assert [frame["read_seq"] for frame in device.of("read")] == [2, 3]
            assert devices[2].of("read") == []

    async def test_that_move_nothing_are_not_told(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(user)
        device = Device(user)
        async with device.connected(instance):
            for up_to in (0, 1, 1, 9):
                await device.say({"t": "read", "up_to": up_to})
            await eventually(lambda: device.of("read") and device.of("ping") and device.of("ping")[-1]["read_seq"] == 1)
        assert device.of("read") == [{"t": "read", "read_seq": 1}]


class TestTrace:
    async def test_goes_on_into_the_frame(self, stage: Stage, instance: Instance, user: UUID, spans: Spans) -> None:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        live, late = Device(user), Device(user)
        async with live.connected(instance):
            await stage.happen(
                order_event(
                    "placed",
                    user,
                    traceparent=f"00-{trace_id}-b7ad6b7169203331-01",
                    baggage="hopline.synthetic=true",
                )
            )
            await live.sees(1)
        async with late.connected(instance):
            await late.sees(1)
        process = spans.one("process events:orders")
        await eventually(lambda: len(spans.named("send notification")) == 2)
        for send, device in zip(spans.named("send notification"), (live, late), strict=True):
            assert send.parent is not None
            assert process.context is not None
            assert send.parent.span_id == process.context.span_id
            (frame,) = device.of("n")
            assert frame["traceparent"] == f"00-{trace_id}-{send.context.span_id:016x}-01"
            assert frame["baggage"] == "hopline.synthetic=true"
            assert send.attributes is not None
            assert send.attributes["hopline.synthetic"] == "true"
            assert send.attributes["messaging.message.id"] == frame["id"]

    async def test_has_no_span_for_pings_and_sockets(
        self, stage: Stage, instance: Instance, user: UUID, spans: Spans
    ) -> None:
        await stage.add(user, count=2, published=False)
        device = Device(user)
        ticket = await instance.ticket(user)
        await eventually(lambda: spans.named("POST /ws-tickets"))
        spans.clear()
        async with raw_socket(instance) as socket:
            await say(socket, {"t": "hello", "v": 1, "ticket": ticket, "cursor": 2})
            for _ in range(4):
                if '"ping"' in str(await asyncio.wait_for(socket.recv(), PATIENCE_S)):
                    await say(socket, {"t": "pong", "cursor": 2})
            await say(socket, {"t": "read", "up_to": 2})
            await socket.recv()
        assert device.frames == []
        assert [span.name for span in spans.finished()] == []
