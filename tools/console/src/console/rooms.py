"""A product's room: the frames that two sockets in it receive while the product is ordered."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

from console.failures import FailedError
from console.narration import Narrator
from console.shop import open_shop, wait_until_ready
from console.stack import Stack
from hopline_client import api
from hopline_client.device import Device, DisconnectedError
from hopline_client.realtime import Frame
from hopline_client.rest import Client

_READY_SECONDS = 10.0
_FRAME_SECONDS = 15.0
_QUIET_SECONDS = 1.5
"""The number of viewers is final after this time without frames. The server publishes changes every 0.5 s."""


class RoomDemo:
    """Joins the room with two sockets, orders and cancels the product, and closes one socket."""

    def __init__(self, *, stack: Stack, narrator: Narrator) -> None:
        self._stack = stack
        self._narrator = narrator

    async def run(self, sku: str) -> None:
        """Print the frames as they arrive. Raises FailedError if one does not arrive in time."""
        room = f"product:{sku}"
        async with open_shop(self._stack.gateway) as shop, AsyncExitStack() as sockets:
            await wait_until_ready(shop, timeout_s=_READY_SECONDS)
            email, password = f"grace-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(16)
            await shop.call(api.register(email=email, password=password, name="Grace Hopper"))
            await shop.log_in(email=email, password=password)
            self._narrator.print_title(f"Two sockets join {room}")
            first = await self._join(sockets, shop, room)
            before = await _count_viewers(first)
            second_socket = await sockets.enter_async_context(AsyncExitStack())
            second = await self._join(second_socket, shop, room)
            joined = await self._wait_for([first, second], "viewers", lambda frame: frame["viewers"] > before)
            product = await shop.call(api.get_product(sku))
            self._narrator.print_step(f"GET /v2/products/{sku}", f"{product['available']} available")
            self._narrator.print_title("The product is ordered, and the order cancelled")
            order = await shop.call(api.place_order((sku, 1)))
            await self._wait_for([first, second], "stock")
            await shop.call(api.cancel_order(order["id"]))
            await self._wait_for([first, second], "stock")
            self._narrator.print_title("One socket closes")
            await second_socket.aclose()
            await self._wait_for([first], "viewers", lambda frame: frame["viewers"] < joined["viewers"])

    async def _join(self, sockets: AsyncExitStack, shop: Client, room: str) -> Device:
        device = await sockets.enter_async_context(Device(client=shop, resumes=False))
        await device.join(room)
        await self._wait_for([device], "joined")
        return device

    async def _wait_for(
        self, devices: Sequence[Device], frame_type: str, accepts: Callable[[Frame], bool] = lambda _: True
    ) -> Frame:
        """Wait until each device has received an accepted frame of this type. Print and return the first one."""
        began = time.perf_counter()
        frame, *_ = [await _receive_frame(device, frame_type, accepts) for device in devices]
        note = ", ".join(f"{name} {member}" for name, member in frame.items() if name not in {"t", "room"})
        self._narrator.print_arrival(1000 * (time.perf_counter() - began), frame_type, note)
        return frame


async def _count_viewers(device: Device) -> int:
    """Return the number of viewers. The first frame may not count the device itself, if others are in the room."""
    frame = await _receive_frame(device, "viewers")
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(_QUIET_SECONDS):
                frame = await _receive_frame(device, "viewers")
    return int(frame["viewers"])


async def _receive_frame(device: Device, frame_type: str, accepts: Callable[[Frame], bool] = lambda _: True) -> Frame:
    try:
        async with asyncio.timeout(_FRAME_SECONDS):
            async for frame in device.receive():
                if frame["t"] == "join_rejected":
                    raise FailedError(
                        f"the server rejected {frame['room']}: {frame['reason']}. Close other sockets first"
                    )
                if frame["t"] == frame_type and accepts(frame):
                    return frame
    except TimeoutError:
        raise FailedError(
            f"no expected {frame_type} frame arrived within {_FRAME_SECONDS:g} s: see make status"
        ) from None
    raise DisconnectedError("the WebSocket was closed")
