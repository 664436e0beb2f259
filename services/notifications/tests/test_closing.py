"""WebSockets are closed for slow readers and while a process drains."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.clients import LARGE, Device, slow_reader, wait_close_code
from services.notifications.tests.factories import Cluster, Instance

from testkit.metrics import Metrics
from testkit.waiting import TIMEOUT_S, eventually


@asynccontextmanager
async def all_connected(devices: Sequence[Device], instance: Instance) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for device in devices:
            await stack.enter_async_context(device.connected(instance))
        yield


class TestSlowReader:
    @pytest.mark.parametrize(("data", "count"), [(LARGE, 60), ({}, 300)], ids=["too many bytes", "too many frames"])
    async def test_only_the_slow_reader_is_closed_when_its_queue_is_full(
        self, cluster: Cluster, user: UUID, data: dict[str, str], count: int, metrics: Metrics
    ) -> None:
        instance = await cluster.start(ws_write_seconds=60, ws_ping_seconds=60)
        hub = instance.app.state.realtime.hub
        other = Device(uuid4())
        async with slow_reader(instance, user) as connection, other.connected(instance):
            await eventually(lambda: user in hub.users)
            await cluster.add_notifications(user, count=30, data=LARGE)  # fills the buffers of both ends
            await cluster.add_notifications(user, count=count, data=data)
            await eventually(lambda: user not in hub.users, what="the slow reader to be closed")
            await cluster.add_notifications(other.user_id)
            await other.wait_until_seen(1)
            assert await wait_close_code(connection) == 4008
        assert metrics.value("hopline.websocket.closed", {"hopline.websocket.close_code": 4008}) == 1

    async def test_socket_is_closed_when_a_frame_waits_too_long(self, cluster: Cluster, user: UUID) -> None:
        instance = await cluster.start(ws_write_seconds=0.3, ws_ping_seconds=60)
        await cluster.add_notifications(user, count=40, data=LARGE)
        async with slow_reader(instance, user) as connection:
            hub = instance.app.state.realtime.hub
            await eventually(lambda: user in hub.users)
            await eventually(lambda: user not in hub.users, what="the slow reader to be closed")
            assert await wait_close_code(connection) == 4008


class TestDrain:
    async def test_drain_is_announced_and_closes_every_socket(self, instance: Instance, user: UUID) -> None:
        devices = [Device(user), Device(uuid4()), Device(uuid4())]
        async with all_connected(devices, instance):
            await instance.app.state.health.drain(grace_s=0)
            for device in devices:
                assert await device.wait_closed() == 1012
                (drain,) = device.frames_of("drain")
                assert 1 <= drain["retry_ms"] <= 5000
            async with instance.client(user) as client:
                assert (await client.get("/health/ready")).status_code == 503
            late = Device(user)
            async with late.connected(instance):
                assert await late.wait_closed() == 1012

    async def test_drain_is_spread_over_its_duration(self, cluster: Cluster) -> None:
        instance = await cluster.start(ws_drain_seconds=2, ws_connections_per_user=20)
        user = uuid4()
        devices = [Device(user) for _ in range(10)]
        async with asyncio.TaskGroup() as group, all_connected(devices, instance):
            draining = group.create_task(instance.app.state.realtime.drain())
            await eventually(lambda: any(device.close_code for device in devices))
            closed_first = sum(1 for device in devices if device.close_code)
            await cluster.add_notifications(user)  # sessions that are still open receive it
            await draining
            assert [await device.wait_closed() for device in devices] == [1012] * 10
        assert closed_first < 10
        assert len({device.frames_of("drain")[0]["retry_ms"] for device in devices}) > 1
        assert any(device.seen == [1] for device in devices)

    async def test_process_drains_when_it_receives_sigterm(self, cluster: Cluster, user: UUID) -> None:
        device = Device(user)
        async with cluster.process() as (instance, process):
            await cluster.add_notifications(user)
            async with device.connected(instance):
                await device.wait_until_seen(1)
                process.send_signal(signal.SIGTERM)
                assert await device.wait_closed() == 1012
            assert len(device.frames_of("drain")) == 1
            assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0
