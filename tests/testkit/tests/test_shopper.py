"""The errors of a device that waits for notifications."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection

from hopline_client.device import DisconnectedError
from hopline_client.rest import open_client
from testkit.apps import serve
from testkit.fake_gateway import Connection, Gateway, Sockets
from testkit.shopper import Device

WELCOME = {"t": "welcome", "head": 1, "read_seq": 0, "recovered": True, "ping_s": 15}
PLACED = {"t": "n", "seq": 1, "id": "event-1", "kind": "order.placed", "data": {}, "at": "", "traceparent": ""}


async def send(socket: ServerConnection) -> None:
    for frame in (WELCOME, PLACED):
        await socket.send(json.dumps(frame))


async def send_and_stay(socket: ServerConnection) -> None:
    await send(socket)
    await socket.wait_closed()


async def send_and_close(socket: ServerConnection) -> None:
    await send(socket)
    await socket.close(1011)


@asynccontextmanager
async def open_device(script: Connection) -> AsyncIterator[Device]:
    gateway = Gateway()
    sockets = Sockets(gateway)
    sockets.scripts.append(script)
    async with (
        sockets.listening(),
        serve(gateway) as url,
        open_client(url) as client,
        Device(client=client) as device,
    ):
        yield device


async def test_error_lists_the_received_notifications_when_another_does_not_arrive() -> None:
    async with open_device(send_and_stay) as device:
        await device.received("order.placed")
        with pytest.raises(AssertionError, match=r"received \['order.placed'\] without \['order.shipped'\]"):
            await device.received("order.placed", "order.shipped", timeout=0.05)


async def test_wait_ends_when_the_connection_ends() -> None:
    async with open_device(send_and_close) as device:
        with pytest.raises(DisconnectedError, match="1011"):
            await device.received("order.placed", "order.shipped")
