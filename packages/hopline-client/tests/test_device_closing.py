"""A device and a server that drains, closes the connection, or sends an invalid frame."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection

from hopline_client.api import ProblemError
from hopline_client.device import MAX_WAITING_FRAMES, DelayLimits, Device, DisconnectedError
from hopline_client.realtime import Frame
from hopline_client.rest import Client
from testkit.fake_gateway import Connection, Gateway, Sockets, problem
from testkit.waiting import TIMEOUT_S, eventually

from .scripts import SHORT_BACKOFF, create_script, notification, receive, select_seq, welcome


class TestClosing:
    async def _measure_delay(
        self, client: Client, sockets: Sockets, script: Connection, *, limits: DelayLimits | None = None
    ) -> float:
        """Return the time between the end of a device's first connection, which runs `script`, and the next one."""
        loop, times = asyncio.get_running_loop(), list[float]()

        async def first(socket: ServerConnection) -> None:
            await script(socket)
            times.append(loop.time())

        async def second(socket: ServerConnection) -> None:
            times.append(loop.time())
            await create_script(welcome())(socket)

        sockets.scripts.extend([first, second])
        async with Device(client=client, backoff=SHORT_BACKOFF, delay_limits=limits):
            await eventually(lambda: len(times) == 2)
        return times[1] - times[0]

    async def test_device_waits_for_the_delay_of_the_server_when_it_drains(
        self, client: Client, sockets: Sockets
    ) -> None:
        drain = create_script(welcome(), {"t": "drain", "retry_ms": 300}, code=1012)
        assert await self._measure_delay(client, sockets, drain) >= 0.28

    async def test_delay_of_a_drain_is_limited_to_the_maximum(self, client: Client, sockets: Sockets) -> None:
        assert DelayLimits().max_retry_s <= 60
        drain = create_script(welcome(), {"t": "drain", "retry_ms": 10**12}, code=1012)
        limits = DelayLimits(max_retry_s=0.1)
        assert await self._measure_delay(client, sockets, drain, limits=limits) < TIMEOUT_S

    async def test_device_waits_for_retry_after_up_to_the_maximum_when_its_ticket_is_rejected(
        self, client: Client, gateway: Gateway, sockets: Sockets
    ) -> None:
        """Retry-After exceeds the budget of the client, which therefore returns the error response immediately."""
        gateway.responses.append(problem(429, "too-many-requests", headers={"Retry-After": "6"}))
        sockets.scripts.append(create_script(welcome()))
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with Device(client=client, backoff=SHORT_BACKOFF, delay_limits=DelayLimits(max_retry_s=0.5)):
            assert 0.48 <= loop.time() - began < 6

    async def test_device_waits_for_the_minimum_when_it_has_too_many_connections(
        self, client: Client, sockets: Sockets
    ) -> None:
        assert DelayLimits().too_many_s >= 30
        limits = DelayLimits(too_many_s=0.3)
        assert await self._measure_delay(client, sockets, create_script(welcome(), code=4429), limits=limits) >= 0.28

    @pytest.mark.parametrize("code", [1011, 1012, 1013, 4008, 4401, 4408])
    async def test_device_reconnects_when_the_server_closes_with_another_code(
        self, client: Client, sockets: Sockets, code: int
    ) -> None:
        await self._measure_delay(client, sockets, create_script(welcome(), code=code))
        assert [hello["ticket"] for hello in sockets.hellos] == ["ticket-1", "ticket-2"]

    @pytest.mark.parametrize("frame", ["{", "[]", '"n"', '{"t": "n", "seq": "x"}', '{"t": "welcome"}', "{}"])
    async def test_device_reconnects_when_a_frame_is_invalid(
        self, client: Client, sockets: Sockets, frame: str
    ) -> None:
        sockets.scripts.extend([create_script(welcome(), frame), create_script(welcome(1), notification(1))])
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            assert await receive(device, 1, select_seq) == [1]

    async def test_device_does_not_open_when_its_token_is_rejected(self, client: Client, gateway: Gateway) -> None:
        gateway.responses.append(problem(401, "unauthorized"))
        with pytest.raises(ProblemError, match="POST /v2/ws-tickets got 401"):
            async with Device(client=client, backoff=SHORT_BACKOFF):
                pass

    async def test_device_does_not_open_when_no_welcome_arrives(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.extend([create_script(code=4401)] * 1000)
        with pytest.raises(DisconnectedError, match=r"no welcome within 0\.3 s: the WebSocket was closed: .*4401"):
            async with Device(client=client, backoff=SHORT_BACKOFF, timeout_s=0.1):
                pass

    async def test_iteration_in_another_task_ends_when_the_device_is_closed(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.scripts.append(create_script(welcome(), notification(1)))
        frames = list[int | None]()

        def append_seq(frame: Frame) -> None:
            frames.append(select_seq(frame))

        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            reading = asyncio.create_task(receive(device, 3, append_seq))
            await eventually(lambda: frames == [None, 1])
        assert await reading == []

    async def test_device_closes_immediately_when_frames_are_unread(self, client: Client, sockets: Sockets) -> None:
        sockets.scripts.append(create_script(welcome(), *map(notification, range(1, 2 * MAX_WAITING_FRAMES))))
        async with asyncio.timeout(TIMEOUT_S), Device(client=client, timeout_s=2 * TIMEOUT_S) as device:
            await eventually(lambda: device.feed.cursor == MAX_WAITING_FRAMES)

    async def test_iteration_ends_after_the_waiting_frames_when_the_device_is_closed(
        self, client: Client, sockets: Sockets
    ) -> None:
        sockets.scripts.append(create_script(welcome(), *map(notification, range(1, 2 * MAX_WAITING_FRAMES))))
        async with Device(client=client, backoff=SHORT_BACKOFF) as device:
            await eventually(lambda: device.feed.cursor == MAX_WAITING_FRAMES)
        async with asyncio.timeout(TIMEOUT_S):
            frames = [select_seq(frame) async for frame in device.receive()]
        welcome_seq = None
        assert frames == [welcome_seq, *range(1, MAX_WAITING_FRAMES)]
