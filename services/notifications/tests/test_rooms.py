"""Rooms: who receives what, how many viewers there are, and what is left of it when something is killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.devices import Device
from services.notifications.tests.factories import Instance, Stage, open_stage, order_event
from services.notifications.tests.test_closing import LARGE, deaf

from testkit.metrics import Metrics
from testkit.servers import StartValkey, ValkeyServer
from testkit.spans import Spans
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

MUG, LAMP = "product:mug", "product:lamp"
BEAT_S = 0.5
"""A heartbeat short enough to wait for."""

SOCKETS = 200


@pytest.fixture
async def instance(stage: Stage) -> Instance:
    return await stage.start(ws_room_beat_seconds=BEAT_S)


async def join(device: Device, *rooms: str) -> None:
    """Join and wait for the acknowledgements."""
    for room in rooms:
        before = len(device.of("joined"))
        await device.say({"t": "join", "room": room})
        await comes(device, "joined", more_than=before)
        assert {"t": "joined", "room": room} in device.of("joined")[before:]


async def comes(device: Device, frame_type: str, *, more_than: int = 0) -> None:
    """Wait for a frame of this type."""
    await eventually(lambda: len(device.of(frame_type)) > more_than, what=frame_type)


def viewers(device: Device, room: str = MUG) -> int | None:
    """The number of viewers that the device has seen last."""
    return next((frame["viewers"] for frame in reversed(device.of("viewers")) if frame["room"] == room), None)


def stock(device: Device, room: str = MUG) -> list[int]:
    """The numbers of available units that the device has seen."""
    return [frame["available"] for frame in device.of("stock") if frame["room"] == room]


async def all_see(devices: Sequence[Device], count: int) -> None:
    await eventually(lambda: {viewers(device) for device in devices} == {count}, what=f"{count} viewers everywhere")


async def all_have(devices: Sequence[Device], *available: int) -> None:
    """Wait until the devices have seen exactly these numbers of available units."""
    await eventually(lambda: all(stock(device) == [*available] for device in devices), what=f"{available} everywhere")


async def has_seen(device: Device, available: int) -> None:
    """Wait until the device has seen this number of available units last."""
    await eventually(lambda: stock(device)[-1:] == [available], what=f"{available} available")


async def sell(stage: Stage, *levels: tuple[str, int, int]) -> None:
    """Let an order of somebody change the stock: (sku, available, version)."""
    await stage.happen(order_event("placed", uuid4(), stock=levels))


@asynccontextmanager
async def connected(instance: Instance, count: int) -> AsyncIterator[list[Device]]:
    """Devices of as many users."""
    devices = [Device(uuid4()) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for device in devices:
            await stack.enter_async_context(device.connected(instance))
        yield devices


class TestMembers:
    async def test_of_a_room_receive_its_stock_and_nobody_else_does(self, stage: Stage, instance: Instance) -> None:
        async with connected(instance, 4) as (one, other, elsewhere, idle):
            for device in (one, other):
                await join(device, MUG)
            await join(elsewhere, LAMP)
            await sell(stage, ("mug", 7, 1), ("hat", 3, 1))
            await all_have([one, other], 7)
            await sell(stage, ("lamp", 2, 1))
            await eventually(lambda: stock(elsewhere, LAMP) == [2])
            assert stock(elsewhere) == []
            assert {frame["t"] for frame in idle.frames} <= {"welcome", "ping"}
        assert {"t": "stock", "room": MUG, "available": 7, "version": 1} in one.frames

    async def test_see_each_other_come_and_go(self, stage: Stage, instance: Instance) -> None:
        there = await stage.start(ws_room_beat_seconds=BEAT_S)
        async with connected(instance, 1) as (stays,):
            await join(stays, MUG)
            await all_see([stays], 1)
            async with connected(there, 2) as (leaves, hangs_up):
                await join(leaves, MUG)
                await join(hangs_up, MUG)
                await all_see([stays, leaves, hangs_up], 3)
                await leaves.say({"t": "leave", "room": MUG})
                await eventually(lambda: leaves.of("left") == [{"t": "left", "room": MUG}])
                hangs_up.cut()
                await all_see([stays], 1)
                await sell(stage, ("mug", 7, 1))
                await eventually(lambda: stock(stays) == [7])
                assert stock(leaves) == []

    async def test_that_join_later_see_the_latest_state(self, stage: Stage, instance: Instance) -> None:
        async with connected(instance, 2) as (early, late):
            await join(early, MUG)
            await sell(stage, ("mug", 7, 1))
            await eventually(lambda: stock(early) == [7])
            await join(late, MUG)
            await eventually(lambda: stock(late) == [7])

    async def test_never_see_an_older_stock_level_after_a_newer_one(self, stage: Stage, instance: Instance) -> None:
        async with connected(instance, 1) as (device,):
            await join(device, MUG)
            await sell(stage, ("mug", 5, 5))
            await has_seen(device, 5)
            await sell(stage, ("mug", 9, 4), ("mug", 3, 6))
            await has_seen(device, 3)
            await sell(stage, ("mug", 9, 5))
            await stage.redis.publish(
                "notifications:room:product:mug", '{"t":"viewers","room":"product:mug","viewers":77}'
            )
            await eventually(lambda: any(frame["viewers"] == 77 for frame in device.of("viewers")))
        assert stock(device) == [5, 3]

    async def test_see_the_last_of_many_changes_and_not_each(self, stage: Stage, instance: Instance) -> None:
        async with connected(instance, 1) as (device,):
            await join(device, MUG)
            for version in range(1, 301):
                await stage.redis.publish("notifications:room:product:mug", stock_body(version=version))
            await eventually(lambda: stock(device)[-1:] == [300])
            assert len(stock(device)) < 300

    async def test_share_one_subscription_that_ends_with_the_last(self, stage: Stage, instance: Instance) -> None:
        channel = "notifications:room:product:mug"

        async def subscriptions() -> int:
            return int(dict(await stage.redis.pubsub_numsub(channel))[channel.encode()])

        async with connected(instance, 3) as devices:
            for device in devices:
                await join(device, MUG)
            assert await subscriptions() == 1
            for device in devices[:2]:
                await device.say({"t": "leave", "room": MUG})
                await comes(device, "left")
            assert await subscriptions() == 1
            devices[2].cut()
            await eventually(lambda: _none(subscriptions))
            await join(devices[0], MUG)
            await sell(stage, ("mug", 7, 1))
            await eventually(lambda: stock(devices[0]) == [7])

    async def test_are_told_of_nothing_by_an_invalid_message(self, stage: Stage, instance: Instance) -> None:
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
                await stage.redis.publish("notifications:room:product:mug", body)
            await sell(stage, ("mug", 7, 1))
            await eventually(lambda: stock(device) == [7])

    async def test_keep_their_feed_beside_it(self, stage: Stage, instance: Instance, user: UUID) -> None:
        device = Device(user)
        async with device.connected(instance):
            await join(device, MUG)
            for version in range(1, 21):
                await stage.happen(order_event("placed", user, stock=[("mug", 100 - version, version)]))
            await device.sees(20)
            await eventually(lambda: stock(device)[-1:] == [80])

    async def test_get_no_span_for_room_frames(self, stage: Stage, instance: Instance, spans: Spans) -> None:
        async with connected(instance, 1) as (device,):
            await join(device, MUG)
            await all_see([device], 1)
            spans.clear()
            await sell(stage, ("mug", 7, 1))
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
    async def test_end_the_socket_at_an_invalid_frame(self, instance: Instance, frame: dict[str, Any]) -> None:
        async with connected(instance, 1) as (device,):
            await device.say(frame)
            assert await device.is_closed() == 4401

    async def test_reject_a_room_too_many(self, stage: Stage, counted: Metrics) -> None:
        instance = await stage.start(ws_rooms_per_connection=2, ws_rooms=2)
        async with connected(instance, 2) as (greedy, other):
            await join(greedy, MUG, LAMP)
            await greedy.say({"t": "join", "room": "product:hat"})
            await eventually(lambda: greedy.of("join_rejected"))
            await other.say({"t": "join", "room": "product:hat"})
            await eventually(lambda: other.of("join_rejected"))
            await join(other, LAMP)
            assert counted.value("hopline.room.open") == 2
            assert counted.value("hopline.room.members") == 3
            await greedy.say({"t": "leave", "room": MUG})
            await join(greedy, "product:hat", LAMP)
        await eventually(lambda: counted.value("hopline.room.open") == counted.value("hopline.room.members") == 0)
        rejected = {"t": "join_rejected", "room": "product:hat"}
        assert greedy.of("join_rejected") == [rejected | {"reason": "rooms_per_connection"}]
        assert other.of("join_rejected") == [rejected | {"reason": "rooms_per_process"}]
        assert counted.value("hopline.room.joins", {"hopline.room.join.outcome": "rooms_per_process"}) == 1
        assert counted.value("hopline.room.joins", {"hopline.room.join.outcome": "joined"}) == 5

    async def test_reject_a_member_too_many(self, stage: Stage) -> None:
        instance = await stage.start(ws_room_members=1)
        async with connected(instance, 2) as (first, second):
            await join(first, MUG)
            await second.say({"t": "join", "room": MUG})
            await eventually(
                lambda: (
                    second.of("join_rejected") == [{"t": "join_rejected", "room": MUG, "reason": "members_per_room"}]
                )
            )
            await first.say({"t": "leave", "room": MUG})
            await eventually(lambda: first.of("left"))
            await join(second, MUG)

    async def test_slow_down_who_sends_too_much(self, stage: Stage, user: UUID) -> None:
        instance = await stage.start(ws_frames_per_second=1, ws_ping_seconds=60)
        device, other = Device(user), Device(uuid4())
        async with device.connected(instance), other.connected(instance):
            for _ in range(200):
                await device.say({"t": "leave", "room": MUG})
            await eventually(lambda: len(device.of("left")) >= 40)
            await join(other, MUG)
            await stage.add(user)
            await device.sees(1)
            assert len(device.of("left")) < 200
            assert device.close_code is None

    async def test_keep_one_frame_of_each_type_for_a_slow_reader(self, stage: Stage, user: UUID) -> None:
        instance = await stage.start(ws_write_seconds=60, ws_ping_seconds=60)
        hub = instance.app.state.realtime.hub
        async with deaf(instance, user) as connection, connected(instance, 1) as (other,):
            await connection.send('{"t":"join","room":"product:mug"}')
            await join(other, MUG)
            await all_see([other], 2)
            await stage.add(user, count=30, data=LARGE)  # fills the buffers of both ends
            for version in range(1, 600):
                await stage.redis.publish("notifications:room:product:mug", stock_body(version=version))
                if version % 20 == 0:
                    await has_seen(other, version)
            assert user in hub.users, "a busy room closes no socket"
            levels = [frame async for frame in _stock_frames(connection, until=599)]
            assert len(levels) <= 2  # one was being written


class TestPresence:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    @pytest.fixture
    async def stage(self, database: str, valkey: ValkeyServer, token_issuer: TokenIssuer) -> AsyncIterator[Stage]:
        async with open_stage(database_url=database, redis_url=valkey.url, issuer=token_issuer) as stage:
            yield stage

    async def test_of_200_sockets_on_two_processes_survives_kills(self, stage: Stage, valkey: ValkeyServer) -> None:
        settings = {"ws_room_beat_seconds": BEAT_S, "ws_ping_seconds": 15}
        async with (
            stage.process(**settings) as (here, _),
            stage.process(**settings) as (there, killed),
            connected(here, SOCKETS // 2) as stay,
            connected(there, SOCKETS // 2) as cut_off,
        ):
            await asyncio.gather(*(join(device, MUG) for device in [*stay, *cut_off]))
            await all_see([*stay, *cut_off], SOCKETS)
            await sell(stage, ("mug", 7, 1))
            await all_have([*stay, *cut_off], 7)

            os.killpg(killed.pid, signal.SIGKILL)
            await all_see(stay, SOCKETS // 2)
            await sell(stage, ("mug", 6, 2))
            await all_have(stay, 7, 6)

            valkey.kill()
            before = [(len(device.of("joined")), len(device.of("viewers"))) for device in stay]
            valkey.start()
            await eventually(
                lambda: all(
                    len(device.of("joined")) > joined and len(device.of("viewers")) > counted
                    for device, (joined, counted) in zip(stay, before, strict=True)
                ),
                what="joined and viewers after the restart",
            )
            await all_see(stay, SOCKETS // 2)
            await stage.redis.publish("notifications:room:product:mug", stock_body(version=3))
            await all_have(stay, 7, 6, 3)
            assert {device.close_code for device in stay} == {None}

    async def test_comes_back_after_redis_has_lost_it(self, stage: Stage, instance: Instance) -> None:
        there = await stage.start(ws_room_beat_seconds=BEAT_S)
        async with connected(instance, 2) as here, connected(there, 1) as elsewhere:
            for device in (*here, *elsewhere):
                await join(device, MUG)
            await all_see([*here, *elsewhere], 3)
            await stage.redis.flushall()
            async with connected(instance, 1) as (late,):
                await join(late, MUG)
                await all_see([*here, *elsewhere, late], 4)

    async def test_of_a_room_without_anybody_expires(self, stage: Stage) -> None:
        async with (
            stage.process(ws_room_beat_seconds=BEAT_S) as (instance, killed),
            connected(instance, 1) as (device,),
        ):
            await join(device, MUG)
            await all_see([device], 1)
            assert await stage.redis.keys("notifications:room-viewers:*")
            os.killpg(killed.pid, signal.SIGKILL)
            await eventually(lambda: _none(lambda: stage.redis.keys("notifications:room-viewers:*")))

    async def test_ends_with_the_process(self, stage: Stage, instance: Instance) -> None:
        async with connected(instance, 1) as (stays,), AsyncExitStack() as other:
            await join(stays, MUG)
            async with stage.instance(ws_room_beat_seconds=60) as there:
                (device,) = await other.enter_async_context(connected(there, 1))
                await join(device, MUG)
                await all_see([stays], 2)
            await all_see([stays], 1)  # at once: its own number would have counted for three minutes

    async def test_joined_while_redis_is_down_follows_later(
        self, stage: Stage, instance: Instance, valkey: ValkeyServer
    ) -> None:
        async with connected(instance, 2) as (member, device):
            await join(member, MUG)
            valkey.kill()
            await eventually(lambda: not instance.app.state.realtime.rooms.get(MUG).subscribed)
            for room in (MUG, LAMP):
                await device.say({"t": "join", "room": room})
            await device.say({"t": "leave", "room": "product:hat"})
            await comes(device, "left")
            assert device.of("joined") == []
            valkey.start()
            await comes(device, "joined", more_than=1)
            await all_see([member, device], 2)


def stock_body(*, version: int) -> str:
    return f'{{"t":"stock","room":"product:mug","available":{version},"version":{version}}}'


async def _none(question: Any) -> bool:
    return not await question()


async def _stock_frames(connection: Any, *, until: int) -> AsyncIterator[str]:
    while True:
        text = str(await asyncio.wait_for(connection.recv(), 30))
        if '"stock"' in text:
            yield text
            if f'"version":{until}' in text:
                return
