"""The number of viewers of a room, and its recovery from failures."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from services.notifications.tests.factories import Cluster, Instance, open_cluster, stock_level
from services.notifications.tests.room_clients import (
    LAMP,
    MUG,
    ROOM_HEARTBEAT_S,
    change_stock,
    connected_devices,
    is_empty,
    join,
    publish_mug_stock,
    wait_for_frame,
    wait_for_stock_history,
    wait_for_viewers,
)

from testkit.servers import StartValkey, ValkeyServer
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

SOCKETS = 200
"""Half of them are connected to each process."""

VIEWERS_KEYS = "notifications:room-viewers:*"
"""The keys of the numbers of viewers in Redis."""


@pytest.fixture
async def instance(cluster: Cluster) -> Instance:
    return await cluster.start_instance(ws_room_beat_seconds=ROOM_HEARTBEAT_S)


class TestPresence:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    @pytest.fixture
    async def cluster(self, database: str, valkey: ValkeyServer, token_issuer: TokenIssuer) -> AsyncIterator[Cluster]:
        async with open_cluster(database_url=database, redis_url=valkey.url, issuer=token_issuer) as cluster:
            yield cluster

    async def test_viewer_count_recovers_when_a_process_and_redis_are_killed(
        self, cluster: Cluster, valkey: ValkeyServer
    ) -> None:
        settings = {"ws_room_beat_seconds": ROOM_HEARTBEAT_S, "ws_ping_seconds": 15}
        async with (
            cluster.run_process(**settings) as (first, _),
            cluster.run_process(**settings) as (second, second_process),
            connected_devices(first, SOCKETS // 2) as remaining,
            connected_devices(second, SOCKETS // 2) as disconnected,
        ):
            everyone = [*remaining, *disconnected]
            await asyncio.gather(*(join(device, MUG) for device in everyone))
            await wait_for_viewers(everyone, SOCKETS)
            await change_stock(cluster, stock_level("mug", available=7, version=1))
            await wait_for_stock_history(everyone, 7)

            os.killpg(second_process.pid, signal.SIGKILL)
            await wait_for_viewers(remaining, SOCKETS // 2)
            await change_stock(cluster, stock_level("mug", available=6, version=2))
            await wait_for_stock_history(remaining, 7, 6)

            valkey.kill()
            before = [(len(device.frames_of("joined")), len(device.frames_of("viewers"))) for device in remaining]
            valkey.start()
            await eventually(
                lambda: all(
                    len(device.frames_of("joined")) > joined and len(device.frames_of("viewers")) > viewers
                    for device, (joined, viewers) in zip(remaining, before, strict=True)
                ),
                what="joined and viewers after the restart",
            )
            await wait_for_viewers(remaining, SOCKETS // 2)
            await publish_mug_stock(cluster, version=3)
            await wait_for_stock_history(remaining, 7, 6, 3)
            assert {device.close_code for device in remaining} == {None}

    async def test_viewer_count_recovers_when_redis_is_flushed(self, cluster: Cluster, instance: Instance) -> None:
        second_instance = await cluster.start_instance(ws_room_beat_seconds=ROOM_HEARTBEAT_S)
        async with connected_devices(instance, 2) as (first, second), connected_devices(second_instance, 1) as (third,):
            for device in (first, second, third):
                await join(device, MUG)
            await wait_for_viewers([first, second, third], 3)
            await cluster.redis.flushall()
            async with connected_devices(instance, 1) as (fourth,):
                await join(fourth, MUG)
                await wait_for_viewers([first, second, third, fourth], 4)

    async def test_viewer_count_expires_when_the_only_process_is_killed(self, cluster: Cluster) -> None:
        async with (
            cluster.run_process(ws_room_beat_seconds=ROOM_HEARTBEAT_S) as (instance, process),
            connected_devices(instance, 1) as (device,),
        ):
            await join(device, MUG)
            await wait_for_viewers([device], 1)
            assert await cluster.redis.keys(VIEWERS_KEYS)
            os.killpg(process.pid, signal.SIGKILL)
            await eventually(lambda: is_empty(lambda: cluster.redis.keys(VIEWERS_KEYS)))

    async def test_viewer_count_drops_when_a_process_stops(self, cluster: Cluster, instance: Instance) -> None:
        async with connected_devices(instance, 1) as (remaining,), AsyncExitStack() as stack:
            await join(remaining, MUG)
            async with cluster.run_instance(ws_room_beat_seconds=60) as stopping:
                (device,) = await stack.enter_async_context(connected_devices(stopping, 1))
                await join(device, MUG)
                await wait_for_viewers([remaining], 2)
            await wait_for_viewers([remaining], 1)  # long before the expiry, which takes three minutes

    async def test_joins_are_acknowledged_when_redis_is_back(
        self, cluster: Cluster, instance: Instance, valkey: ValkeyServer
    ) -> None:
        async with connected_devices(instance, 2) as (member, device):
            await join(member, MUG)
            valkey.kill()
            await eventually(lambda: not instance.app.state.realtime.rooms.get(MUG).subscribed)
            for room in (MUG, LAMP):
                await device.send({"t": "join", "room": room})
            await device.send({"t": "leave", "room": "product:hat"})
            await wait_for_frame(device, "left")  # the frames before it were handled
            assert device.frames_of("joined") == []
            valkey.start()
            await wait_for_frame(device, "joined", more_than=1)
            await wait_for_viewers([member, device], 2)
