"""Devices in rooms: joining, the frames that they receive, and changes of stock."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

from services.notifications.tests.clients import Device
from services.notifications.tests.factories import Cluster, Instance, order_event

from testkit.waiting import eventually

MUG, LAMP = "product:mug", "product:lamp"
BEAT_S = 0.5
"""A heartbeat short enough to wait for."""


async def join(device: Device, *rooms: str) -> None:
    """Join and wait for the acknowledgements."""
    for room in rooms:
        before = len(device.frames_of("joined"))
        await device.send({"t": "join", "room": room})
        await wait_for_frame(device, "joined", more_than=before)
        assert {"t": "joined", "room": room} in device.frames_of("joined")[before:]


async def wait_for_frame(device: Device, frame_type: str, *, more_than: int = 0) -> None:
    """Wait for a frame of this type."""
    await eventually(lambda: len(device.frames_of(frame_type)) > more_than, what=frame_type)


def viewers(device: Device, room: str = MUG) -> int | None:
    """Return the last number of viewers that the device has received."""
    return next((frame["viewers"] for frame in reversed(device.frames_of("viewers")) if frame["room"] == room), None)


def stock(device: Device, room: str = MUG) -> list[int]:
    """Return the numbers of available units that the device has received."""
    return [frame["available"] for frame in device.frames_of("stock") if frame["room"] == room]


async def wait_for_viewers(devices: Sequence[Device], count: int) -> None:
    await eventually(lambda: {viewers(device) for device in devices} == {count}, what=f"{count} viewers everywhere")


async def wait_for_stock_history(devices: Sequence[Device], *available: int) -> None:
    """Wait until the devices have received exactly these numbers of available units."""
    await eventually(lambda: all(stock(device) == [*available] for device in devices), what=f"{available} everywhere")


async def wait_for_stock(device: Device, available: int) -> None:
    """Wait until this is the last number of available units that the device has received."""
    await eventually(lambda: stock(device)[-1:] == [available], what=f"{available} available")


async def change_stock(cluster: Cluster, *levels: tuple[str, int, int]) -> None:
    """Publish an order event with stock levels: (sku, available, version)."""
    await cluster.append_events(order_event("placed", uuid4(), stock=levels))


@asynccontextmanager
async def connected(instance: Instance, count: int) -> AsyncIterator[list[Device]]:
    """Connect devices of different users."""
    devices = [Device(uuid4()) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for device in devices:
            await stack.enter_async_context(device.connected(instance))
        yield devices


def stock_body(*, version: int) -> str:
    """Return a published stock frame with `version` as the number of available units."""
    return f'{{"t":"stock","room":"product:mug","available":{version},"version":{version}}}'


async def is_empty(query: Any) -> bool:
    """Return whether an asynchronous query returns nothing."""
    return not await query()
