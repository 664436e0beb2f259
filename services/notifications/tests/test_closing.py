"""How sockets end: readers that do not read, processes that stop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.devices import Device, close_code, raw_socket, say
from services.notifications.tests.factories import Instance, Stage
from websockets.asyncio.client import ClientConnection

from testkit.metrics import Metrics
from testkit.waiting import PATIENCE_S, eventually

LARGE = {"text": "x" * 20_000}


@asynccontextmanager
async def deaf(instance: Instance, user: UUID) -> AsyncIterator[ClientConnection]:
    """A device that says hello and reads nothing on; its kernel buffers next to nothing."""
    narrow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    host, port = instance.url.removeprefix("http://").split(":")
    await asyncio.get_running_loop().sock_connect(narrow, (host, int(port)))
    async with raw_socket(instance, sock=narrow, max_queue=1, close_timeout=0.1) as connection:
        await say(connection, {"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0})
        yield connection


@asynccontextmanager
async def all_connected(devices: Sequence[Device], instance: Instance) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for device in devices:
            await stack.enter_async_context(device.connected(instance))
        yield


class TestSlowReader:
    @pytest.mark.parametrize("data", [LARGE, {}], ids=["megabyte", "256 frames"])
    async def test_is_closed_when_its_queue_is_full(
        self, stage: Stage, user: UUID, data: dict[str, str], counted: Metrics
    ) -> None:
        instance = await stage.start(ws_write_seconds=60, ws_ping_seconds=60)
        hub = instance.app.state.realtime.hub
        other = Device(uuid4())
        async with deaf(instance, user) as connection, other.connected(instance):
            await eventually(lambda: user in hub.users)
            await stage.add(user, count=30, data=LARGE)  # fills the buffers of both ends
            await stage.add(user, count=60 if data else 300, data=data)
            await eventually(lambda: user not in hub.users, what="the slow reader to be let go")
            await stage.add(other.user_id)
            await other.sees(1)
            assert await close_code(connection) == 4008
        assert counted.value("hopline.websocket.closed", {"hopline.websocket.close_code": 4008}) == 1

    async def test_is_closed_when_one_frame_waits_too_long(self, stage: Stage, user: UUID) -> None:
        instance = await stage.start(ws_write_seconds=0.3, ws_ping_seconds=60)
        await stage.add(user, count=40, data=LARGE)
        async with deaf(instance, user) as connection:
            hub = instance.app.state.realtime.hub
            await eventually(lambda: user in hub.users)
            await eventually(lambda: user not in hub.users, what="the slow reader to be let go")
            assert await close_code(connection) == 4008


class TestDrain:
    async def test_announces_itself_and_closes(self, stage: Stage, instance: Instance, user: UUID) -> None:
        devices = [Device(user), Device(uuid4()), Device(uuid4())]
        async with all_connected(devices, instance):
            await instance.app.state.health.drain(grace_s=0)
            for device in devices:
                assert await device.is_closed() == 1012
                (drain,) = device.of("drain")
                assert 1 <= drain["retry_ms"] <= 5000
            async with instance.client(user) as client:
                assert (await client.get("/health/ready")).status_code == 503
            late = Device(user)
            async with late.connected(instance):
                assert await late.is_closed() == 1012

    async def test_spreads_over_the_time_it_has(self, stage: Stage) -> None:
        instance = await stage.start(ws_drain_seconds=2, ws_connections_per_user=20)
        user = uuid4()
        devices = [Device(user) for _ in range(10)]
        closed_first: list[int] = []
        async with asyncio.TaskGroup() as group, all_connected(devices, instance):
            draining = group.create_task(instance.app.state.realtime.drain())
            await eventually(lambda: any(device.close_code for device in devices))
            closed_first.append(sum(1 for device in devices if device.close_code))
            await stage.add(user)  # who is still here still gets it
            await draining
            assert [await device.is_closed() for device in devices] == [1012] * 10
        assert closed_first[0] < 10
        assert len({device.of("drain")[0]["retry_ms"] for device in devices}) > 1
        assert any(device.seen == [1] for device in devices)

    async def test_happens_on_sigterm(self, stage: Stage, user: UUID) -> None:
        device = Device(user)
        async with stage.process() as (instance, process):
            await stage.add(user)
            async with device.connected(instance):
                await device.sees(1)
                process.send_signal(signal.SIGTERM)
                assert await device.is_closed() == 1012
            assert len(device.of("drain")) == 1
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
