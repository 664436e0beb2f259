"""Rooms: their members, their frames and their limits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.clients import Device, fill_buffers, send_frame, slow_reader
from services.notifications.tests.factories import Cluster, Instance, order_event, stock_level
from services.notifications.tests.room_clients import (
    LAMP,
    MUG,
    MUG_CHANNEL,
    ROOM_HEARTBEAT_S,
    change_stock,
    connected_devices,
    is_empty,
    join,
    mug_stock_body,
    publish_mug_stock,
    stock_history,
    wait_for_frame,
    wait_for_stock,
    wait_for_stock_history,
    wait_for_viewers,
)
from websockets.asyncio.client import ClientConnection

from notifications.errors import CloseCode
from notifications.realtime.endpoint import BURST_FRAMES
from testkit.metrics import RecordedMetrics
from testkit.spans import Spans
from testkit.waiting import TIMEOUT_S, eventually

pytestmark = pytest.mark.xdist_group("rooms")  # pub/sub channels are common to all databases of a server

MARKER_VIEWERS = 77
"""The number of viewers in a frame that shows that all frames before it were delivered."""


@pytest.fixture
async def instance(cluster: Cluster) -> Instance:
    return await cluster.start_instance(ws_room_beat_seconds=ROOM_HEARTBEAT_S)


class TestMembers:
    async def test_members_receive_the_stock_of_their_room_only(self, cluster: Cluster, instance: Instance) -> None:
        async with connected_devices(instance, 4) as (first, second, elsewhere, idle):
            for device in (first, second):
                await join(device, MUG)
            await join(elsewhere, LAMP)
            await change_stock(
                cluster, stock_level("mug", available=7, version=1), stock_level("hat", available=3, version=1)
            )
            await wait_for_stock_history([first, second], 7)
            await change_stock(cluster, stock_level("lamp", available=2, version=1))
            await eventually(lambda: stock_history(elsewhere, LAMP) == [2])
            assert stock_history(elsewhere) == []
            assert {frame["t"] for frame in idle.frames} <= {"welcome", "ping"}
        assert {"t": "stock", "room": MUG, "available": 7, "version": 1} in first.frames

    async def test_members_receive_the_viewer_count_when_it_changes(self, cluster: Cluster, instance: Instance) -> None:
        second_instance = await cluster.start_instance(ws_room_beat_seconds=ROOM_HEARTBEAT_S)
        async with connected_devices(instance, 1) as (stays,):
            await join(stays, MUG)
            await wait_for_viewers([stays], 1)
            async with connected_devices(second_instance, 2) as (leaves, disconnects):
                await join(leaves, MUG)
                await join(disconnects, MUG)
                await wait_for_viewers([stays, leaves, disconnects], 3)
                await leaves.send({"t": "leave", "room": MUG})
                await eventually(lambda: leaves.frames_of("left") == [{"t": "left", "room": MUG}])
                disconnects.abort()
                await wait_for_viewers([stays], 1)
                await change_stock(cluster, stock_level("mug", available=7, version=1))
                await eventually(lambda: stock_history(stays) == [7])
                assert stock_history(leaves) == []

    async def test_new_member_receives_the_latest_stock_level(self, cluster: Cluster, instance: Instance) -> None:
        async with connected_devices(instance, 2) as (early, late):
            await join(early, MUG)
            await change_stock(cluster, stock_level("mug", available=7, version=1))
            await eventually(lambda: stock_history(early) == [7])
            await join(late, MUG)
            await eventually(lambda: stock_history(late) == [7])

    async def test_older_stock_level_is_dropped_when_a_newer_one_was_sent(
        self, cluster: Cluster, instance: Instance
    ) -> None:
        async with connected_devices(instance, 1) as (device,):
            await join(device, MUG)
            await change_stock(cluster, stock_level("mug", available=5, version=5))
            await wait_for_stock(device, 5)
            await change_stock(
                cluster, stock_level("mug", available=9, version=4), stock_level("mug", available=3, version=6)
            )
            await wait_for_stock(device, 3)
            await change_stock(cluster, stock_level("mug", available=9, version=5))
            await eventually(lambda: _marker_has_arrived(cluster, device))
        assert stock_history(device) == [5, 3]

    async def test_members_receive_the_last_change_and_not_all_when_changes_are_frequent(
        self, cluster: Cluster, instance: Instance
    ) -> None:
        async with connected_devices(instance, 1) as (device,):
            await join(device, MUG)
            changes = 300
            for version in range(1, changes + 1):
                await publish_mug_stock(cluster, version=version)
            await wait_for_stock(device, changes)
            assert len(stock_history(device)) < changes

    async def test_members_share_one_subscription_that_ends_with_the_last_member(
        self, cluster: Cluster, instance: Instance
    ) -> None:
        async def count_subscriptions() -> int:
            return int(dict(await cluster.redis.pubsub_numsub(MUG_CHANNEL))[MUG_CHANNEL.encode()])

        async with connected_devices(instance, 3) as devices:
            for device in devices:
                await join(device, MUG)
            assert await count_subscriptions() == 1
            for device in devices[:2]:
                await device.send({"t": "leave", "room": MUG})
                await wait_for_frame(device, "left")
            assert await count_subscriptions() == 1
            devices[2].abort()
            await eventually(lambda: is_empty(count_subscriptions))
            await join(devices[0], MUG)
            await change_stock(cluster, stock_level("mug", available=7, version=1))
            await eventually(lambda: stock_history(devices[0]) == [7])

    async def test_invalid_messages_are_ignored(self, cluster: Cluster, instance: Instance) -> None:
        async with connected_devices(instance, 1) as (device,):
            await join(device, MUG)
            too_long = mug_stock_body(version=8).replace("{", "{" + " " * 2000, 1)
            for body in (
                "",
                "[]",
                '{"t":"n"}',
                '{"t":"stock","room":"product:mug","available":"x","version":1}',
                too_long,
            ):
                await cluster.redis.publish(MUG_CHANNEL, body)
            await change_stock(cluster, stock_level("mug", available=7, version=1))
            await eventually(lambda: stock_history(device) == [7])

    async def test_feed_is_delivered_when_the_room_is_busy(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            await join(device, MUG)
            orders = 20
            for version in range(1, orders + 1):
                level = stock_level("mug", available=100 - version, version=version)
                await cluster.append_events(order_event("placed", user, stock=[level]))
            await device.wait_until_received(orders)
            await wait_for_stock(device, 100 - orders)

    async def test_room_frames_create_no_span(self, cluster: Cluster, instance: Instance, spans: Spans) -> None:
        async with connected_devices(instance, 1) as (device,):
            await join(device, MUG)
            await wait_for_viewers([device], 1)
            spans.clear()
            await change_stock(cluster, stock_level("mug", available=7, version=1))
            await eventually(lambda: stock_history(device) == [7])
        assert {span.name for span in spans.finished()} == {"process events:orders"}


class TestInvalidFrame:
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
        async with connected_devices(instance, 1) as (device,):
            await device.send(frame)
            assert await device.wait_for_close_code() == CloseCode.UNAUTHORIZED


class TestLimits:
    async def test_join_is_rejected_when_a_room_limit_is_reached(
        self, cluster: Cluster, metrics: RecordedMetrics
    ) -> None:
        instance = await cluster.start_instance(ws_rooms_per_connection=2, ws_rooms=2)
        async with connected_devices(instance, 2) as (greedy, other):
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
        instance = await cluster.start_instance(ws_room_members=1)
        async with connected_devices(instance, 2) as (first, second):
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
        instance = await cluster.start_instance(ws_frames_per_second=1, ws_ping_seconds=60)
        fast_sender, other = Device(user), Device(uuid4())
        async with fast_sender.connected(instance), other.connected(instance):
            sent = 5 * BURST_FRAMES
            for _ in range(sent):
                await fast_sender.send({"t": "leave", "room": MUG})
            await eventually(lambda: len(fast_sender.frames_of("left")) >= BURST_FRAMES)
            await join(other, MUG)
            await cluster.add_notifications(user)
            await fast_sender.wait_until_received(1)
            assert len(fast_sender.frames_of("left")) < sent
            assert fast_sender.close_code is None

    async def test_slow_reader_has_one_pending_stock_frame_when_the_room_is_busy(
        self, cluster: Cluster, user: UUID
    ) -> None:
        instance = await cluster.start_instance(ws_write_seconds=60, ws_ping_seconds=60)
        hub = instance.app.state.realtime.hub
        async with slow_reader(instance, user) as connection, connected_devices(instance, 1) as (other,):
            await send_frame(connection, {"t": "join", "room": MUG})
            await join(other, MUG)
            await wait_for_viewers([other], 2)
            await fill_buffers(cluster, user)
            last_version = 600
            for version in range(1, last_version + 1):
                await publish_mug_stock(cluster, version=version)
                if version % 20 == 0:
                    await wait_for_stock(other, version)  # the room has delivered it, also to the slow reader
            assert user in hub.users, "a busy room must not close the socket of a slow reader"
            stock_frames = [frame async for frame in _read_stock_frames(connection, until=last_version)]
            assert len(stock_frames) <= 2  # one was being written, one was pending


async def _marker_has_arrived(cluster: Cluster, device: Device) -> bool:
    """Publish a marker frame and return whether one has arrived. A heartbeat of the room may replace a marker."""
    marker = f'{{"t":"viewers","room":"{MUG}","viewers":{MARKER_VIEWERS}}}'
    await cluster.redis.publish(MUG_CHANNEL, marker)
    return any(frame["viewers"] == MARKER_VIEWERS for frame in device.frames_of("viewers"))


async def _read_stock_frames(connection: ClientConnection, *, until: int) -> AsyncIterator[str]:
    """Read frames, and yield the stock frames up to the one with the version `until`."""
    while True:
        text = str(await asyncio.wait_for(connection.recv(), TIMEOUT_S))
        if '"stock"' in text:
            yield text
            if f'"version":{until}' in text:
                return
