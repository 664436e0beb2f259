"""Rooms: their members, their frames and their limits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.clients import LARGE, Device, slow_reader
from services.notifications.tests.factories import Cluster, Instance, order_event
from services.notifications.tests.room_clients import (
    BEAT_S,
    LAMP,
    MUG,
    change_stock,
    connected,
    is_empty,
    join,
    stock,
    stock_body,
    wait_for_frame,
    wait_for_stock,
    wait_for_stock_history,
    wait_for_viewers,
)

from testkit.metrics import Metrics
from testkit.spans import Spans
from testkit.waiting import eventually


@pytest.fixture
async def instance(cluster: Cluster) -> Instance:
    return await cluster.start(ws_room_beat_seconds=BEAT_S)


class TestMembers:
    async def test_members_receive_the_stock_of_their_room_only(self, cluster: Cluster, instance: Instance) -> None:
        async with connected(instance, 4) as (first, second, elsewhere, idle):
            for device in (first, second):
                await join(device, MUG)
            await join(elsewhere, LAMP)
            await change_stock(cluster, ("mug", 7, 1), ("hat", 3, 1))
            await wait_for_stock_history([first, second], 7)
            await change_stock(cluster, ("lamp", 2, 1))
            await eventually(lambda: stock(elsewhere, LAMP) == [2])
            assert stock(elsewhere) == []
            assert {frame["t"] for frame in idle.frames} <= {"welcome", "ping"}
        assert {"t": "stock", "room": MUG, "available": 7, "version": 1} in first.frames

    async def test_members_see_the_viewer_count_change(self, cluster: Cluster, instance: Instance) -> None:
        there = await cluster.start(ws_room_beat_seconds=BEAT_S)
        async with connected(instance, 1) as (stays,):
            await join(stays, MUG)
            await wait_for_viewers([stays], 1)
            async with connected(there, 2) as (leaves, disconnects):
                await join(leaves, MUG)
                await join(disconnects, MUG)
                await wait_for_viewers([stays, leaves, disconnects], 3)
                await leaves.send({"t": "leave", "room": MUG})
                await eventually(lambda: leaves.frames_of("left") == [{"t": "left", "room": MUG}])
                disconnects.abort()
                await wait_for_viewers([stays], 1)
                await change_stock(cluster, ("mug", 7, 1))
                await eventually(lambda: stock(stays) == [7])
                assert stock(leaves) == []

    async def test_new_member_receives_the_latest_state(self, cluster: Cluster, instance: Instance) -> None:
        async with connected(instance, 2) as (early, late):
            await join(early, MUG)
            await change_stock(cluster, ("mug", 7, 1))
            await eventually(lambda: stock(early) == [7])
            await join(late, MUG)
            await eventually(lambda: stock(late) == [7])

    async def test_older_stock_level_is_dropped_when_a_newer_one_was_sent(
        self, cluster: Cluster, instance: Instance
    ) -> None:
        async with connected(instance, 1) as (device,):
            await join(device, MUG)
            await change_stock(cluster, ("mug", 5, 5))
            await wait_for_stock(device, 5)
            await change_stock(cluster, ("mug", 9, 4), ("mug", 3, 6))
            await wait_for_stock(device, 3)
            await change_stock(cluster, ("mug", 9, 5))
            await eventually(lambda: _marker_has_arrived(cluster, device))
        assert stock(device) == [5, 3]

    async def test_members_receive_the_last_of_many_changes(self, cluster: Cluster, instance: Instance) -> None:
        async with connected(instance, 1) as (device,):
            await join(device, MUG)
            for version in range(1, 301):
                await cluster.redis.publish("notifications:room:product:mug", stock_body(version=version))
            await eventually(lambda: stock(device)[-1:] == [300])
            assert len(stock(device)) < 300

    async def test_members_share_one_subscription_that_ends_with_the_last_member(
        self, cluster: Cluster, instance: Instance
    ) -> None:
        channel = "notifications:room:product:mug"

        async def subscriptions() -> int:
            return int(dict(await cluster.redis.pubsub_numsub(channel))[channel.encode()])

        async with connected(instance, 3) as devices:
            for device in devices:
                await join(device, MUG)
            assert await subscriptions() == 1
            for device in devices[:2]:
                await device.send({"t": "leave", "room": MUG})
                await wait_for_frame(device, "left")
            assert await subscriptions() == 1
            devices[2].abort()
            await eventually(lambda: is_empty(subscriptions))
            await join(devices[0], MUG)
            await change_stock(cluster, ("mug", 7, 1))
            await eventually(lambda: stock(devices[0]) == [7])

    async def test_invalid_messages_are_ignored(self, cluster: Cluster, instance: Instance) -> None:
        async with connected(instance, 1) as (device,):
            await join(device, MUG)
            too_long = stock_body(version=8).replace("{", "{" + " " * 2000, 1)
            for body in (
                "",
                "[]",
                '{"t":"n"}',
                '{"t":"stock","room":"product:mug","available":"x","version":1}',
                too_long,
            ):
                await cluster.redis.publish("notifications:room:product:mug", body)
            await change_stock(cluster, ("mug", 7, 1))
            await eventually(lambda: stock(device) == [7])

    async def test_feed_is_delivered_when_the_room_is_busy(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            await join(device, MUG)
            for version in range(1, 21):
                await cluster.append_events(order_event("placed", user, stock=[("mug", 100 - version, version)]))
            await device.wait_until_seen(20)
            await eventually(lambda: stock(device)[-1:] == [80])

    async def test_room_frames_create_no_span(self, cluster: Cluster, instance: Instance, spans: Spans) -> None:
        async with connected(instance, 1) as (device,):
            await join(device, MUG)
            await wait_for_viewers([device], 1)
            spans.clear()
            await change_stock(cluster, ("mug", 7, 1))
            await eventually(lambda: stock(device) == [7])
        assert {span.name for span in spans.finished()} == {"process events:orders"}


class TestLimits:
    @pytest.mark.parametrize(
        "frame",
        [
            {"t": "join"},
            {"t": "join", "room": None},
            {"t": "join", "room": "mug"},
            {"t": "join", "room": "user:mug"},
            {"t": "join", "room": "product:"},
            {"t": "join", "room": "product:.mug"},
            {"t": "join", "room": "product:mug\n"},
            {"t": "join", "room": 'product:mug"'},
            {"t": "join", "room": "product:" + "m" * 65},
            {"t": "leave", "room": ["product:mug"]},
            {"t": "stock", "room": "product:mug", "available": 1, "version": 1},
        ],
    )
    async def test_socket_is_closed_when_a_frame_is_invalid(self, instance: Instance, frame: dict[str, Any]) -> None:
        async with connected(instance, 1) as (device,):
            await device.send(frame)
            assert await device.wait_closed() == 4401

    async def test_join_is_rejected_when_a_room_limit_is_reached(self, cluster: Cluster, metrics: Metrics) -> None:
        instance = await cluster.start(ws_rooms_per_connection=2, ws_rooms=2)
        async with connected(instance, 2) as (greedy, other):
            await join(greedy, MUG, LAMP)
            await greedy.send({"t": "join", "room": "product:hat"})
            await eventually(lambda: greedy.frames_of("join_rejected"))
            await other.send({"t": "join", "room": "product:hat"})
            await eventually(lambda: other.frames_of("join_rejected"))
            await join(other, LAMP)
            assert metrics.value("hopline.room.open") == 2
            assert metrics.value("hopline.room.members") == 3
            await greedy.send({"t": "leave", "room": MUG})
            await join(greedy, "product:hat", LAMP)
        await eventually(lambda: metrics.value("hopline.room.open") == metrics.value("hopline.room.members") == 0)
        rejected = {"t": "join_rejected", "room": "product:hat"}
        assert greedy.frames_of("join_rejected") == [rejected | {"reason": "rooms_per_connection"}]
        assert other.frames_of("join_rejected") == [rejected | {"reason": "rooms_per_process"}]
        assert metrics.value("hopline.room.joins", {"hopline.room.join.outcome": "rooms_per_process"}) == 1
        assert metrics.value("hopline.room.joins", {"hopline.room.join.outcome": "joined"}) == 5

    async def test_join_is_rejected_when_the_room_is_full(self, cluster: Cluster) -> None:
        instance = await cluster.start(ws_room_members=1)
        async with connected(instance, 2) as (first, second):
            await join(first, MUG)
            await second.send({"t": "join", "room": MUG})
            await eventually(
                lambda: (
                    second.frames_of("join_rejected")
                    == [{"t": "join_rejected", "room": MUG, "reason": "members_per_room"}]
                )
            )
            await first.send({"t": "leave", "room": MUG})
            await eventually(lambda: first.frames_of("left"))
            await join(second, MUG)

    async def test_frames_are_read_slowly_when_a_client_sends_too_many(self, cluster: Cluster, user: UUID) -> None:
        instance = await cluster.start(ws_frames_per_second=1, ws_ping_seconds=60)
        device, other = Device(user), Device(uuid4())
        async with device.connected(instance), other.connected(instance):
            for _ in range(200):
                await device.send({"t": "leave", "room": MUG})
            await eventually(lambda: len(device.frames_of("left")) >= 40)
            await join(other, MUG)
            await cluster.add_notifications(user)
            await device.wait_until_seen(1)
            assert len(device.frames_of("left")) < 200
            assert device.close_code is None

    async def test_slow_reader_has_one_pending_frame_of_each_type(self, cluster: Cluster, user: UUID) -> None:
        instance = await cluster.start(ws_write_seconds=60, ws_ping_seconds=60)
        hub = instance.app.state.realtime.hub
        async with slow_reader(instance, user) as connection, connected(instance, 1) as (other,):
            await connection.send('{"t":"join","room":"product:mug"}')
            await join(other, MUG)
            await wait_for_viewers([other], 2)
            await cluster.add_notifications(user, count=30, data=LARGE)  # fills the buffers of both ends
            for version in range(1, 600):
                await cluster.redis.publish("notifications:room:product:mug", stock_body(version=version))
                if version % 20 == 0:
                    await wait_for_stock(other, version)
            assert user in hub.users, "a busy room closes no socket"
            levels = [frame async for frame in _stock_frames(connection, until=599)]
            assert len(levels) <= 2  # one was being written


async def _marker_has_arrived(cluster: Cluster, device: Device) -> bool:
    """Publish a marker frame and return whether one has arrived. A heartbeat of the room may replace a marker."""
    marker = '{"t":"viewers","room":"product:mug","viewers":77}'
    await cluster.redis.publish("notifications:room:product:mug", marker)
    return any(frame["viewers"] == 77 for frame in device.frames_of("viewers"))


async def _stock_frames(connection: Any, *, until: int) -> AsyncIterator[str]:
    while True:
        text = str(await asyncio.wait_for(connection.recv(), 30))
        if '"stock"' in text:
            yield text
            if f'"version":{until}' in text:
                return
