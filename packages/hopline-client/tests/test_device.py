"""A device and a server that skips or repeats frames, stops sending, or closes the connection."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from hopline_client.device import MAX_WAITING_FRAMES, Device, DisconnectedError
from hopline_client.realtime import Frame
from hopline_client.rest import Client
from testkit.fake_gateway import Connection, Sockets
from testkit.waiting import eventually

from .scripts import (
    ROOM,
    SHORT_BACKOFF,
    create_script,
    item,
    notification,
    receive,
    select_room_frame,
    select_seq,
    stock,
    welcome,
)

LARGE_ROOMS = [f"{number:02d}{'r' * 1_000_000}" for number in range(24)]
"""Their frames exceed the buffers of a server that does not read."""


class TestResuming:
    async def test_device_continues_after_its_cursor_when_it_reconnects(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.extend(
            [
                create_script(welcome(2), notification(1), notification(2), code=1011),
                create_script(welcome(3), notification(3)),
            ]
        )
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            assert await receive(device, 3, select_seq) == [1, 2, 3]
        assert sockets.hellos == [
            {"t": "hello", "v": 1, "ticket": "ticket-1", "cursor": 0},
            {"t": "hello", "v": 1, "ticket": "ticket-2", "cursor": 2},
        ]

    async def test_gap_is_read_from_the_history_and_repeats_are_dropped(self, client: Client, sockets: Sockets) -> None:
        sockets.history = [item(number) for number in range(1, 10)]
        numbers = (1, 1, 5, 4, 6)
        sockets.scripts.append(create_script(welcome(), *map(notification, numbers)))
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            frames = await receive(device, 6, lambda frame: frame if "seq" in frame else None)
        assert [frame["seq"] for frame in frames] == [1, 2, 3, 4, 5, 6]
        assert [int(frame.trace_id or "0", 16) for frame in frames] == [1, 0, 0, 0, 5, 6]
        assert {frame["at"] for frame in frames} == {"…"}

    async def test_history_is_read_in_pages_when_the_welcome_reports_missed_notifications(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.history = [item(number) for number in range(1, 251)]
        sockets.scripts.append(create_script(welcome(250, recovered=False), notification(251)))
        async with Device(client=client, cursor=20, backoff=SHORT_BACKOFF) as device:
            assert await receive(device, 231, select_seq) == list(range(21, 252))

    async def test_device_follows_the_feed_when_it_is_shorter_than_its_cursor(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.scripts.append(create_script(welcome(3, recovered=False), notification(4)))
        async with Device(client=client, cursor=20, backoff=SHORT_BACKOFF) as device:
            assert await receive(device, 1, select_seq) == [4]

    async def test_on_frame_receives_every_frame_including_repeats(self, client: Client, sockets: Sockets) -> None:
        sockets.history = [item(number) for number in range(1, 5)]
        sockets.scripts.append(create_script(welcome(), *map(notification, (1, 1, 3))))
        frames = list[Frame]()
        async with Device(client=client, backoff=SHORT_BACKOFF, on_frame=frames.append):
            await eventually(lambda: len(frames) == 5)
        welcome_seq, from_history = None, 2
        assert [frame.get("seq") for frame in frames] == [welcome_seq, 1, 1, 3, from_history]

    async def test_device_stops_reading_and_loses_no_notification_when_the_application_does_not_read(
        self, client: Client, sockets: Sockets
    ) -> None:
        count = 3 * MAX_WAITING_FRAMES
        sockets.scripts.append(create_script(welcome(count), *map(notification, range(1, count + 1))))
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            # The welcome and 255 notifications wait. The device has read one more, which waits for a slot.
            await eventually(lambda: device.feed.cursor >= MAX_WAITING_FRAMES)
            assert device.feed.cursor <= MAX_WAITING_FRAMES + 1
            assert await receive(device, count, select_seq) == list(range(1, count + 1))


class TestHeartbeat:
    async def test_pong_contains_the_cursor(self, client: Client, sockets: Sockets) -> None:
        pongs = list[object]()

        async def ping(socket: ServerConnection) -> None:
            for frame in (welcome(1), notification(1), {"t": "ping", "head": 1, "read_seq": 0}):
                await socket.send(json.dumps(frame))
            pongs.append(json.loads(await socket.recv()))

        sockets.scripts.append(ping)
        async with Device(client=client, backoff=SHORT_BACKOFF):
            await eventually(lambda: pongs)
        assert pongs == [{"t": "pong", "cursor": 1}]

    async def test_device_reconnects_when_no_ping_arrives(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.extend([create_script(welcome(ping_s=0.01)), create_script(welcome(1), notification(1))])
        async with Device(client=client, backoff=SHORT_BACKOFF, timeout_s=0.1) as device:
            assert await receive(device, 1, select_seq) == [1]
        assert len(sockets.hellos) >= 2

    async def test_read_marks_never_decrease(self, client: Client, sockets: Sockets) -> None:
        sent = [{"t": "read", "read_seq": number} for number in (2, 1, 3)]
        sockets.scripts.append(create_script(welcome(), *sent))
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            marks = await receive(device, 2, lambda frame: frame["read_seq"] if frame["t"] == "read" else None)
        assert marks == [2, 3]


class TestOneConnection:
    @pytest.mark.parametrize(
        ("numbers", "message"), [((1, 3), "notification 3 came after 1"), ((1, 1), "notification 1 came after 1")]
    )
    async def test_connection_ends_when_a_notification_is_missing_or_repeated(
        self, client: Client, sockets: Sockets, numbers: tuple[int, ...], message: str
    ) -> None:
        sockets.scripts.append(create_script(welcome(), *map(notification, numbers)))
        async with Device(client=client, resumes=False) as device:
            with pytest.raises(DisconnectedError, match=message):
                await receive(device, 9, select_seq)

    async def test_connection_ends_with_its_close_code(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.append(create_script(welcome(), notification(1), code=4008))
        async with Device(client=client, resumes=False) as device:
            assert await receive(device, 1, select_seq) == [1]
            for _ in range(2):
                with pytest.raises(DisconnectedError) as raised:
                    await receive(device, 1, select_seq)
                assert raised.value.code == device.close_code == 4008

    async def test_connection_sends_no_close_frame_when_it_is_aborted(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.append(create_script(welcome()))
        async with Device(client=client, resumes=False) as device:
            device.abort()
            with pytest.raises(DisconnectedError):
                await receive(device, 1, select_seq)
            assert device.close_code == 1006

    async def test_error_has_the_close_code_when_no_welcome_arrives(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.append(create_script(code=4401))
        with pytest.raises(DisconnectedError) as raised:
            async with Device(client=client, resumes=False):
                pass
        assert raised.value.code == 4401


class TestRooms:
    async def test_rooms_are_joined_again_and_stale_stock_is_dropped_when_the_device_reconnects(
        self, client: Client, sockets: Sockets
    ) -> None:
        joins = list[object]()

        def create_join_script(*frames: dict[str, Any], code: int | None = None) -> Connection:
            async def script(socket: ServerConnection) -> None:
                await socket.send(json.dumps(welcome()))
                joins.append(json.loads(await socket.recv()))
                await create_script({"t": "joined", "room": ROOM}, *frames, code=code)(socket)

            return script

        sockets.scripts.append(create_join_script(stock(2), stock(1), code=1011))
        sockets.scripts.append(create_join_script(stock(2), stock(3)))
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            await device.join(ROOM)
            frames = await receive(device, 4, select_room_frame)
            await device.leave(ROOM)
        assert frames == [("joined", None), ("stock", 2), ("joined", None), ("stock", 3)]
        assert joins == [{"t": "join", "room": ROOM}] * 2

    async def test_device_stays_connected_when_a_room_is_joined_while_it_joins_the_others_again(
        self, client: Client, sockets: Sockets
    ) -> None:
        reads = asyncio.Event()

        async def close_after_the_joins(socket: ServerConnection) -> None:
            await socket.send(json.dumps(welcome()))
            for _ in LARGE_ROOMS:
                await socket.recv()
            await socket.close(1011)

        async def read_late(socket: ServerConnection) -> None:
            await socket.send(json.dumps(welcome()))
            await reads.wait()
            joined = {json.loads(await socket.recv())["room"] for _ in (*LARGE_ROOMS, ROOM)}
            await create_script(stock(len(joined)))(socket)

        sockets.scripts.extend([close_after_the_joins, read_late])
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            first_welcome = device.welcome
            for room in LARGE_ROOMS:
                await device.join(room)
            await eventually(lambda: device.welcome is not first_welcome)
            joining = asyncio.create_task(device.join(ROOM))
            reads.set()
            assert await receive(device, 1, select_room_frame) == [("stock", len(LARGE_ROOMS) + 1)]
            await joining

    async def test_device_is_disconnected_when_the_server_stops_reading(self, client: Client, sockets: Sockets) -> None:
        is_over = asyncio.Event()

        async def read_nothing(socket: ServerConnection) -> None:
            await socket.send(json.dumps(welcome()))
            await is_over.wait()
            socket.transport.abort()

        async def send_more_than_the_buffers_hold(device: Device) -> None:
            for room in LARGE_ROOMS:
                await device.join(room)
                await device.mark_read(1)

        sockets.scripts.append(read_nothing)
        async with Device(client=client, resumes=False, timeout_s=1.0) as device:
            try:
                with pytest.raises(DisconnectedError, match="the server has read nothing for 1 s"):
                    await send_more_than_the_buffers_hold(device)
            finally:
                is_over.set()
