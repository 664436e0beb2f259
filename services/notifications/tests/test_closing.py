"""The server closes the WebSockets of slow readers, and all WebSockets while its process drains."""

import asyncio
import signal
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.clients import (
    LARGE_BYTES,
    LARGE_DATA,
    Device,
    all_connected,
    fill_buffers,
    slow_reader,
    wait_for_close_code,
)
from services.notifications.tests.factories import Cluster, Instance

from notifications.errors import CloseCode
from notifications.realtime.outbound_queue import MAX_BYTES, MAX_FRAMES
from testkit.metrics import RecordedMetrics
from testkit.waiting import TIMEOUT_S, eventually

MARGIN_FRAMES = 20
"""Frames for which the buffers of a connection may have room after `fill_buffers`."""


class TestCloseCode:
    def test_close_codes_have_the_documented_numbers(self) -> None:
        assert {code.name: code.value for code in CloseCode} == {
            "SERVER_ERROR": 1011,
            "RESTARTING": 1012,
            "TRY_LATER": 1013,
            "SLOW_READER": 4008,
            "UNAUTHORIZED": 4401,
            "NO_PONG": 4408,
            "TOO_MANY_CONNECTIONS": 4429,
        }


class TestSlowReader:
    @pytest.mark.parametrize(
        ("data", "count"),
        [(LARGE_DATA, MAX_BYTES // LARGE_BYTES + MARGIN_FRAMES), ({}, MAX_FRAMES + MARGIN_FRAMES)],
        ids=["too many bytes", "too many frames"],
    )
    async def test_only_the_slow_reader_is_closed_when_its_queue_is_full(
        self, cluster: Cluster, user: UUID, data: dict[str, str], count: int, metrics: RecordedMetrics
    ) -> None:
        instance = await cluster.start_instance(ws_write_seconds=60, ws_ping_seconds=60)
        hub = instance.app.state.realtime.hub
        other = Device(uuid4())
        async with slow_reader(instance, user) as connection, other.connected(instance):
            await eventually(lambda: user in hub.users)
            await fill_buffers(cluster, user)
            await cluster.add_notifications(user, count=count, data=data)
            await eventually(lambda: user not in hub.users, what="the slow reader to be closed")
            await cluster.add_notifications(other.user_id)
            await other.wait_until_received(1)
            assert await wait_for_close_code(connection) == CloseCode.SLOW_READER
        by_slow_reader = {"hopline.websocket.close_code": int(CloseCode.SLOW_READER)}
        assert metrics.value("hopline.websocket.closed", by_slow_reader) == 1

    async def test_slow_reader_is_closed_when_a_frame_is_not_written_in_time(
        self, cluster: Cluster, user: UUID
    ) -> None:
        instance = await cluster.start_instance(ws_write_seconds=0.3, ws_ping_seconds=60)
        await fill_buffers(cluster, user)
        await cluster.add_notifications(user, count=MARGIN_FRAMES, data=LARGE_DATA)
        async with slow_reader(instance, user) as connection:
            hub = instance.app.state.realtime.hub
            await eventually(lambda: user in hub.users)
            await eventually(lambda: user not in hub.users, what="the slow reader to be closed")
            assert await wait_for_close_code(connection) == CloseCode.SLOW_READER


class TestDrain:
    async def test_drain_is_announced_and_closes_every_socket(self, instance: Instance, user: UUID) -> None:
        devices = [Device(user), Device(uuid4()), Device(uuid4())]
        async with all_connected(devices, instance):
            await instance.app.state.health.drain(grace_s=0)
            for device in devices:
                assert await device.wait_for_close_code() == CloseCode.RESTARTING
                (drain,) = device.frames_of("drain")
                assert 1 <= drain["retry_ms"] <= instance.app.state.settings.ws_retry_ms
            async with instance.client(user) as client:
                assert (await client.get("/health/ready")).status_code == 503
            late_device = Device(user)
            async with late_device.connected(instance):
                assert await late_device.wait_for_close_code() == CloseCode.RESTARTING

    async def test_drain_is_spread_over_its_duration(self, cluster: Cluster) -> None:
        instance = await cluster.start_instance(ws_drain_seconds=2, ws_connections_per_user=20)
        user = uuid4()
        devices = [Device(user) for _ in range(10)]
        async with asyncio.TaskGroup() as group, all_connected(devices, instance):
            draining = group.create_task(instance.app.state.realtime.drain())
            await eventually(lambda: any(device.close_code for device in devices))
            closed_first = [device for device in devices if device.close_code]
            await cluster.add_notifications(user)  # sessions that are still open receive it
            await draining
            assert {await device.wait_for_close_code() for device in devices} == {CloseCode.RESTARTING}
        assert len(closed_first) < len(devices)
        assert len({device.frames_of("drain")[0]["retry_ms"] for device in devices}) > 1
        assert any(device.received == [1] for device in devices)

    async def test_process_drains_when_it_receives_sigterm(self, cluster: Cluster, user: UUID) -> None:
        device = Device(user)
        async with cluster.run_process() as (instance, process):
            await cluster.add_notifications(user)
            async with device.connected(instance):
                await device.wait_until_received(1)
                process.send_signal(signal.SIGTERM)
                assert await device.wait_for_close_code() == CloseCode.RESTARTING
            assert len(device.frames_of("drain")) == 1
            assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0
