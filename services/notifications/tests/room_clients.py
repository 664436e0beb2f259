"""Devices in rooms: joining, the frames that they receive, and changes of stock levels."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from services.notifications.tests.clients import Device, all_connected
from services.notifications.tests.factories import Cluster, Instance, order_event

from notifications.events import StockLevel
from testkit.waiting import eventually

MUG, LAMP = "product:mug", "product:lamp"
MUG_CHANNEL = "notifications:room:product:mug"
ROOM_HEARTBEAT_S = 0.5
"""Heartbeat interval of the viewers, in seconds. Short, because tests wait for heartbeats."""


async def join(device: Device, *rooms: str) -> None:
    """Join rooms one after another, and wait for each acknowledgement."""
    for room in rooms:
        acknowledged = len(device.frames_of("joined"))
        await device.send({"t": "join", "room": room})
        await wait_for_frame(device, "joined", more_than=acknowledged)
        assert {"t": "joined", "room": room} in device.frames_of("joined")[acknowledged:]


async def wait_for_frame(device: Device, frame_type: str, *, more_than: int = 0) -> None:
    """Wait until the device has received more than `more_than` frames of this type."""
    await eventually(lambda: len(device.frames_of(frame_type)) > more_than, what=frame_type)


def viewer_count(device: Device, room: str = MUG) -> int | None:
    """Return the last number of viewers that the device has received, or None."""
    return next((frame["viewers"] for frame in reversed(device.frames_of("viewers")) if frame["room"] == room), None)


def stock_history(device: Device, room: str = MUG) -> list[int]:
    """Return all numbers of available units that the device has received, oldest first."""
    return [frame["available"] for frame in device.frames_of("stock") if frame["room"] == room]


async def wait_for_viewers(devices: Sequence[Device], count: int) -> None:
    await eventually(
        lambda: {viewer_count(device) for device in devices} == {count}, what=f"{count} viewers everywhere"
    )


async def wait_for_stock_history(devices: Sequence[Device], *available: int) -> None:
    """Wait until the devices have received exactly these numbers of available units."""
    await eventually(
        lambda: all(stock_history(device) == [*available] for device in devices), what=f"{available} everywhere"
    )


async def wait_for_stock(device: Device, available: int) -> None:
    """Wait until this is the last number of available units that the device has received."""
    await eventually(lambda: stock_history(device)[-1:] == [available], what=f"{available} available")


async def change_stock(cluster: Cluster, *levels: StockLevel) -> None:
    """Append an order event with these stock levels, which the consumer publishes to the rooms."""
    await cluster.append_events(order_event("placed", uuid4(), stock=levels))


@asynccontextmanager
async def connected_devices(instance: Instance, count: int) -> AsyncIterator[list[Device]]:
    """Connect `count` devices of different users until the block ends."""
    devices = [Device(uuid4()) for _ in range(count)]
    async with all_connected(devices, instance):
        yield devices


def mug_stock_body(*, version: int) -> str:
    """Return a stock frame of the mug, with `version` also as the number of available units."""
    return f'{{"t":"stock","room":"{MUG}","available":{version},"version":{version}}}'


async def publish_mug_stock(cluster: Cluster, *, version: int) -> None:
    """Publish `mug_stock_body` without an event."""
    await cluster.redis.publish(MUG_CHANNEL, mug_stock_body(version=version))


async def is_empty(query: Callable[[], Awaitable[object]]) -> bool:
    """Return whether the result of an asynchronous query is empty or 0."""
    return not await query()
