"""A device and a server that drains, skips or repeats frames, stops sending, or closes the connection."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection

from hopline_client.api import ProblemError
from hopline_client.backoff import Backoff
from hopline_client.device import MAX_WAITING_FRAMES, DelayLimits, Device, DisconnectedError
from hopline_client.realtime import Feed, Frame
from hopline_client.rest import Client
from testkit.fake_gateway import Connection, Gateway, Sockets, problem
from testkit.waiting import TIMEOUT_S, eventually

SOON = Backoff(first_s=0.001, max_s=0.002)
ROOM = "product:MUG"


def welcome(head: int = 0, **changed: Any) -> dict[str, Any]:
    return {"t": "welcome", "head": head, "read_seq": 0, "recovered": True, "ping_s": 15} | changed


def notification(seq: int) -> dict[str, Any]:
    trace = f"00-{seq:032x}-{'b' * 16}-01"
    return {"t": "n", "seq": seq, "id": f"n-{seq}", "kind": "order.placed", "data": {}, "at": "…", "traceparent": trace}


def item(seq: int) -> dict[str, Any]:
    return {"seq": seq, "id": f"n-{seq}", "kind": "order.placed", "data": {}, "created_at": "…"}


def stock(version: int) -> dict[str, Any]:
    return {"t": "stock", "room": ROOM, "available": 10 - version, "version": version}


def sends(*frames: dict[str, Any] | str, code: int | None = None) -> Connection:
    """Send frames, then close with `code`, or stay open."""

    async def script(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(frame if isinstance(frame, str) else json.dumps(frame))
        if code:
            await socket.close(code, "as the test says")
        await socket.wait_closed()

    return script


async def received(device: Device, count: int, select: Callable[[Frame], object]) -> list[Any]:
    """Return the first `count` results of `select` for the next frames, without None."""
    found = list[Any]()
    async with asyncio.timeout(TIMEOUT_S):
        async for frame in device.receive():
            if (value := select(frame)) is not None:
                found.append(value)
            if len(found) == count:
                break
    return found


def seq(frame: Frame) -> int | None:
    return frame.get("seq")


def room(frame: Frame) -> object:
    return (frame["t"], frame.get("version")) if "room" in frame else None


class TestResuming:
    async def test_device_continues_after_its_cursor_when_it_reconnects(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.extend(
            [
                sends(welcome(2), notification(1), notification(2), code=1011),
                sends(welcome(3), notification(3)),
            ]
        )
        async with Device(client=client, backoff=SOON) as device:
            assert await received(device, 3, seq) == [1, 2, 3]
        assert sockets.hellos == [
            {"t": "hello", "v": 1, "ticket": "ticket-1", "cursor": 0},
            {"t": "hello", "v": 1, "ticket": "ticket-2", "cursor": 2},
        ]

    async def test_gap_is_read_from_the_history_and_repeats_are_dropped(self, client: Client, sockets: Sockets) -> None:
        sockets.history = [item(number) for number in range(1, 10)]
        numbers = (1, 1, 5, 4, 6)
        sockets.scripts.append(sends(welcome(), *map(notification, numbers)))
        async with Device(client=client, backoff=SOON) as device:
            frames = await received(device, 6, lambda frame: frame if "seq" in frame else None)
        assert [frame["seq"] for frame in frames] == [1, 2, 3, 4, 5, 6]
        assert [int(frame.trace_id or "0", 16) for frame in frames] == [1, 0, 0, 0, 5, 6]
        assert {frame["at"] for frame in frames} == {"…"}

    async def test_history_is_read_in_pages_when_too_many_notifications_were_missed(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.history = [item(number) for number in range(1, 251)]
        sockets.scripts.append(sends(welcome(250, recovered=False), notification(251)))
        async with Device(client=client, cursor=20, backoff=SOON) as device:
            assert await received(device, 231, seq) == list(range(21, 252))

    async def test_device_follows_the_feed_when_it_is_shorter_than_its_cursor(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.scripts.append(sends(welcome(3, recovered=False), notification(4)))
        async with Device(client=client, cursor=20, backoff=SOON) as device:
            assert await received(device, 1, seq) == [4]

    async def test_on_frame_receives_every_frame_including_repeats(self, client: Client, sockets: Sockets) -> None:
        sockets.history = [item(number) for number in range(1, 5)]
        sockets.scripts.append(sends(welcome(), *map(notification, (1, 1, 3))))
        frames = list[Frame]()
        async with Device(client=client, backoff=SOON, on_frame=frames.append):
            seen = await eventually(lambda: [f["seq"] for f in frames if f["t"] == "n"][3:] and frames)
        assert [frame.get("seq") for frame in seen] == [None, 1, 1, 3, 2]

    async def test_notifications_are_kept_when_the_application_does_not_read(
        self, client: Client, sockets: Sockets
    ) -> None:
        count = 3 * MAX_WAITING_FRAMES
        sockets.scripts.append(sends(welcome(count), *map(notification, range(1, count + 1))))
        async with Device(client=client, backoff=SOON) as device:
            await eventually(lambda: device.feed.cursor >= MAX_WAITING_FRAMES)
            assert device.feed.cursor <= MAX_WAITING_FRAMES + 1
            assert await received(device, count, seq) == list(range(1, count + 1))


class TestHeartbeat:
    async def test_pong_contains_the_cursor(self, client: Client, sockets: Sockets) -> None:
        pongs = list[object]()

        async def ping(socket: ServerConnection) -> None:
            for frame in (welcome(1), notification(1), {"t": "ping", "head": 1, "read_seq": 0}):
                await socket.send(json.dumps(frame))
            pongs.append(json.loads(await socket.recv()))

        sockets.scripts.append(ping)
        async with Device(client=client, backoff=SOON):
            await eventually(lambda: pongs)
        assert pongs == [{"t": "pong", "cursor": 1}]

    async def test_connection_is_replaced_when_no_ping_arrives(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.extend([sends(welcome(ping_s=0.01)), sends(welcome(1), notification(1))])
        async with Device(client=client, backoff=SOON, timeout_s=0.1) as device:
            assert await received(device, 1, seq) == [1]
        assert len(sockets.hellos) >= 2

    async def test_read_marks_never_decrease(self, client: Client, sockets: Sockets) -> None:
        marks = [{"t": "read", "read_seq": number} for number in (2, 1, 3)]
        sockets.scripts.append(sends(welcome(), *marks))
        async with Device(client=client, backoff=SOON) as device:
            assert await received(device, 2, lambda f: f["read_seq"] if f["t"] == "read" else None) == [2, 3]


class TestClosing:
    async def _delay(
        self, client: Client, sockets: Sockets, script: Connection, *, limits: DelayLimits | None = None
    ) -> float:
        """Return the time between the end of the first connection of a device and its next connection."""
        loop, ended = asyncio.get_running_loop(), list[float]()

        async def first(socket: ServerConnection) -> None:
            await script(socket)
            ended.append(loop.time())

        async def second(socket: ServerConnection) -> None:
            ended.append(loop.time())
            await sends(welcome())(socket)

        sockets.scripts.extend([first, second])
        async with Device(client=client, backoff=SOON, delay_limits=limits):
            await eventually(lambda: len(ended) == 2)
        return ended[1] - ended[0]

    async def test_device_waits_for_the_delay_of_the_server_when_it_drains(
        self, client: Client, sockets: Sockets
    ) -> None:
        drained = sends(welcome(), {"t": "drain", "retry_ms": 300}, code=1012)
        assert await self._delay(client, sockets, drained) >= 0.28

    async def test_delay_of_a_drain_is_limited_to_the_maximum(self, client: Client, sockets: Sockets) -> None:
        assert DelayLimits().max_retry_s <= 60
        drained = sends(welcome(), {"t": "drain", "retry_ms": 10**12}, code=1012)
        limits = DelayLimits(max_retry_s=0.1)
        assert await self._delay(client, sockets, drained, limits=limits) < TIMEOUT_S

    async def test_device_waits_for_retry_after_up_to_the_maximum_when_its_ticket_is_rejected(
        self, client: Client, gateway: Gateway, sockets: Sockets
    ) -> None:
        """Retry-After exceeds the budget of the client, which therefore returns the error response immediately."""
        gateway.responses.append(problem(429, "too-many-requests", headers={"Retry-After": "6"}))
        sockets.scripts.append(sends(welcome()))
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with Device(client=client, backoff=SOON, delay_limits=DelayLimits(max_retry_s=0.5)):
            assert 0.48 <= loop.time() - began < 6

    async def test_device_waits_longer_when_there_are_too_many_connections(
        self, client: Client, sockets: Sockets
    ) -> None:
        assert DelayLimits().too_many_s >= 30
        limits = DelayLimits(too_many_s=0.3)
        assert await self._delay(client, sockets, sends(welcome(), code=4429), limits=limits) >= 0.28

    @pytest.mark.parametrize("code", [1011, 1012, 1013, 4008, 4401, 4408])
    async def test_device_reconnects_when_the_server_closes_with_another_code(
        self, client: Client, sockets: Sockets, code: int
    ) -> None:
        await self._delay(client, sockets, sends(welcome(), code=code))
        assert [hello["ticket"] for hello in sockets.hellos] == ["ticket-1", "ticket-2"]

    @pytest.mark.parametrize("frame", ["{", "[]", '"n"', '{"t": "n", "seq": "x"}', '{"t": "welcome"}', "{}"])
    async def test_device_reconnects_when_a_frame_is_invalid(
        self, client: Client, sockets: Sockets, frame: str
    ) -> None:
        sockets.scripts.extend([sends(welcome(), frame), sends(welcome(1), notification(1))])
        async with Device(client=client, backoff=SOON) as device:
            assert await received(device, 1, seq) == [1]

    async def test_device_ends_when_its_token_is_rejected(self, client: Client, gateway: Gateway) -> None:
        gateway.responses.append(problem(401, "unauthorized"))
        with pytest.raises(ProblemError, match="POST /v2/ws-tickets got 401"):
            async with Device(client=client, backoff=SOON):
                pass

    async def test_device_does_not_open_when_no_welcome_arrives(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.extend([sends(code=4401)] * 1000)
        with pytest.raises(DisconnectedError, match=r"no welcome within 0\.3 s: the WebSocket was closed: .*4401"):
            async with Device(client=client, backoff=SOON, timeout_s=0.1):
                pass

    async def test_iteration_in_another_task_ends_when_the_device_is_closed(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.scripts.append(sends(welcome(), notification(1)))
        frames = list[int | None]()

        def append(frame: Frame) -> None:
            frames.append(seq(frame))

        async with Device(client=client, backoff=SOON) as device:
            reading = asyncio.create_task(received(device, 3, append))
            await eventually(lambda: frames == [None, 1])
        assert await reading == []

    async def test_iteration_ends_after_the_waiting_frames_when_the_device_is_closed(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.scripts.append(sends(welcome(), *map(notification, range(1, 2 * MAX_WAITING_FRAMES))))
        async with Device(client=client, backoff=SOON) as device:
            await eventually(lambda: device.feed.cursor == MAX_WAITING_FRAMES)
        async with asyncio.timeout(TIMEOUT_S):
            frames = [seq(frame) async for frame in device.receive()]
        assert frames == [None, *range(1, MAX_WAITING_FRAMES)]


class TestOneConnection:
    @pytest.mark.parametrize(
        ("numbers", "message"), [((1, 3), "notification 3 came after 1"), ((1, 1), "notification 1 came after 1")]
    )
    async def test_connection_ends_when_a_notification_is_missing_or_repeated(
        self, client: Client, sockets: Sockets, numbers: tuple[int, ...], message: str
    ) -> None:
        sockets.scripts.append(sends(welcome(), *map(notification, numbers)))
        async with Device(client=client, resumes=False) as device:
            with pytest.raises(DisconnectedError, match=message):
                await received(device, 9, seq)

    async def test_connection_ends_with_its_close_code(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.append(sends(welcome(), notification(1), code=4008))
        async with Device(client=client, resumes=False) as device:
            assert await received(device, 1, seq) == [1]
            for _ in range(2):
                with pytest.raises(DisconnectedError) as raised:
                    await received(device, 1, seq)
                assert raised.value.code == device.close_code == 4008

    async def test_connection_sends_no_close_frame_when_it_is_aborted(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.append(sends(welcome()))
        async with Device(client=client, resumes=False) as device:
            device.abort()
            with pytest.raises(DisconnectedError):
                await received(device, 1, seq)
            assert device.close_code == 1006

    async def test_error_has_the_close_code_when_no_welcome_arrives(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.append(sends(code=4401))
        with pytest.raises(DisconnectedError) as raised:
            async with Device(client=client, resumes=False):
                pass
        assert raised.value.code == 4401


class TestRooms:
    async def test_rooms_are_joined_again_and_stale_stock_is_dropped_when_the_device_reconnects(
        self, client: Client, sockets: Sockets
    ) -> None:
        joins = list[object]()

        def joined(*frames: dict[str, Any], code: int | None = None) -> Connection:
            async def script(socket: ServerConnection) -> None:
                await socket.send(json.dumps(welcome()))
                joins.append(json.loads(await socket.recv()))
                await sends({"t": "joined", "room": ROOM}, *frames, code=code)(socket)

            return script

        sockets.scripts.extend([joined(stock(2), stock(1), code=1011), joined(stock(2), stock(3))])
        async with Device(client=client, backoff=SOON) as device:
            await device.join(ROOM)
            frames = await received(device, 4, room)
            await device.leave(ROOM)
        assert frames == [("joined", None), ("stock", 2), ("joined", None), ("stock", 3)]
        assert joins == [{"t": "join", "room": ROOM}] * 2


@pytest.mark.parametrize("text", ["[]", '""', '[["t", "n"], ["seq", 1]]', "1", "null"])
def test_message_is_rejected_when_it_is_not_a_json_object(text: str) -> None:
    with pytest.raises(TypeError, match="not a JSON object"):
        Frame.parse(text)


@given(st.data())
def test_feed_accepts_every_notification_once_in_order(data: st.DataObject) -> None:
    """Frames are lost, repeated and reordered in any way, and the history is available."""
    head, feed, accepted = 0, Feed(), list[int]()
    for number in data.draw(st.lists(st.integers(1, 40), max_size=30)):
        head = max(head, number)
        frame = Frame(notification(number))
        if until := feed.handle(frame).read_until:
            while feed.cursor < until:
                page: Any = [item(number) for number in range(feed.cursor + 1, min(feed.cursor + 4, head + 1))]
                accepted += [frame["seq"] for frame in feed.handle_history(page, until=until)]
            assert feed.handle(frame).is_new
            accepted.append(number)
        elif number == len(accepted) + 1:
            accepted.append(number)
    assert accepted == list(range(1, head + 1))
    assert feed.cursor == head
