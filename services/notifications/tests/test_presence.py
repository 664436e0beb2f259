"""The number of viewers of a room, and its recovery from failures."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from services.notifications.tests.factories import Cluster, Instance, open_cluster
from services.notifications.tests.room_clients import (
    BEAT_S,
    LAMP,
    MUG,
    change_stock,
    connected,
    is_empty,
    join,
    stock_body,
    wait_for_frame,
    wait_for_stock_history,
    wait_for_viewers,
)

from testkit.servers import StartValkey, ValkeyServer
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

SOCKETS = 200


@pytest.fixture
async def instance(cluster: Cluster) -> Instance:
    return await cluster.start(ws_room_beat_seconds=BEAT_S)


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
        settings = {"ws_room_beat_seconds": BEAT_S, "ws_ping_seconds": 15}
        async with (
            cluster.process(**settings) as (here, _),
            cluster.process(**settings) as (there, killed),
            connected(here, SOCKETS // 2) as stay,
            connected(there, SOCKETS // 2) as cut_off,
        ):
            await asyncio.gather(*(join(device, MUG) for device in [*stay, *cut_off]))
            await wait_for_viewers([*stay, *cut_off], SOCKETS)
            await change_stock(cluster, ("mug", 7, 1))
            await wait_for_stock_history([*stay, *cut_off], 7)

            os.killpg(killed.pid, signal.SIGKILL)
            await wait_for_viewers(stay, SOCKETS // 2)
            await change_stock(cluster, ("mug", 6, 2))
            await wait_for_stock_history(stay, 7, 6)

            valkey.kill()
            before = [(len(device.frames_of("joined")), len(device.frames_of("viewers"))) for device in stay]
            valkey.start()
            await eventually(
                lambda: all(
                    len(device.frames_of("joined")) > joined and len(device.frames_of("viewers")) > counted
                    for device, (joined, counted) in zip(stay, before, strict=True)
                ),
                what="joined and viewers after the restart",
            )
            await wait_for_viewers(stay, SOCKETS // 2)
            await cluster.redis.publish("notifications:room:product:mug", stock_body(version=3))
            await wait_for_stock_history(stay, 7, 6, 3)
            assert {device.close_code for device in stay} == {None}

    async def test_viewer_count_recovers_when_redis_is_flushed(self, cluster: Cluster, instance: Instance) -> None:
        there = await cluster.start(ws_room_beat_seconds=BEAT_S)
        async with connected(instance, 2) as here, connected(there, 1) as elsewhere:
            for device in (*here, *elsewhere):
                await join(device, MUG)
            await wait_for_viewers([*here, *elsewhere], 3)
            await cluster.redis.flushall()
            async with connected(instance, 1) as (late,):
                await join(late, MUG)
                await wait_for_viewers([*here, *elsewhere, late], 4)

    async def test_viewer_count_expires_when_the_only_process_is_killed(self, cluster: Cluster) -> None:
        async with (
            cluster.process(ws_room_beat_seconds=BEAT_S) as (instance, killed),
            connected(instance, 1) as (device,),
        ):
            await join(device, MUG)
            await wait_for_viewers([device], 1)
            assert await cluster.redis.keys("notifications:room-viewers:*")
            os.killpg(killed.pid, signal.SIGKILL)
            await eventually(lambda: is_empty(lambda: cluster.redis.keys("notifications:room-viewers:*")))

    async def test_viewer_count_drops_when_a_process_stops(self, cluster: Cluster, instance: Instance) -> None:
        async with connected(instance, 1) as (stays,), AsyncExitStack() as other:
            await join(stays, MUG)
            async with cluster.instance(ws_room_beat_seconds=60) as there:
                (device,) = await other.enter_async_context(connected(there, 1))
                await join(device, MUG)
                await wait_for_viewers([stays], 2)
            await wait_for_viewers([stays], 1)  # not after the expiry, which would take three minutes

    async def test_joined_follows_when_redis_is_back(
        self, cluster: Cluster, instance: Instance, valkey: ValkeyServer
    ) -> None:
        async with connected(instance, 2) as (member, device):
            await join(member, MUG)
            valkey.kill()
            await eventually(lambda: not instance.app.state.realtime.rooms.get(MUG).subscribed)
            for room in (MUG, LAMP):
                await device.send({"t": "join", "room": room})
            await device.send({"t": "leave", "room": "product:hat"})
            await wait_for_frame(device, "left")
            assert device.frames_of("joined") == []
            valkey.start()
            await wait_for_frame(device, "joined", more_than=1)
            await wait_for_viewers([member, device], 2)
