"""Frames of a server, scripts that send them, and the frames that a device yields."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from hopline_client.backoff import Backoff
from hopline_client.device import Device
from hopline_client.realtime import Frame
from testkit.fake_gateway import Connection
from testkit.waiting import TIMEOUT_S

SHORT_BACKOFF = Backoff(first_s=0.001, max_s=0.002)
ROOM = "product:MUG"


def welcome(head: int = 0, **changed: Any) -> dict[str, Any]:
    return {"t": "welcome", "head": head, "read_seq": 0, "recovered": True, "ping_s": 15} | changed


def notification(seq: int) -> dict[str, Any]:
    trace = f"00-{seq:032x}-{'b' * 16}-01"
    return {"t": "n", "seq": seq, "id": f"n-{seq}", "kind": "order.placed", "data": {}, "at": "…", "traceparent": trace}


def item(seq: int) -> dict[str, Any]:
    return {"seq": seq, "id": f"n-{seq}", "kind": "order.placed", "data": {}, "created_at": "…"}


def stock(version: int) -> dict[str, Any]:
    return {"t": "stock", "room": ROOM, "available": 10 - version, "version": version}


def create_script(*frames: dict[str, Any] | str, code: int | None = None) -> Connection:
    """Return a script that sends these frames, and then closes the connection with `code` or lets it stay open."""

    async def script(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(frame if isinstance(frame, str) else json.dumps(frame))
        if code:
            await socket.close(code, "as the test says")
        await socket.wait_closed()

    return script


async def receive(device: Device, count: int, select: Callable[[Frame], object]) -> list[Any]:
    """Receive frames until `select` has returned `count` values other than None, and return these values."""
    found = list[Any]()
    async with asyncio.timeout(TIMEOUT_S):
        async for frame in device.receive():
            if (value := select(frame)) is not None:
                found.append(value)
            if len(found) == count:
                break
    return found


def select_seq(frame: Frame) -> int | None:
    return frame.get("seq")


def select_room_frame(frame: Frame) -> object:
    """Return type and version of a frame about a room, None for other frames."""
    return (frame["t"], frame.get("version")) if "room" in frame else None
