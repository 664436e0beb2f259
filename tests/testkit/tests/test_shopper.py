"""The errors of `testkit.shopper.Device.wait_for`, and the registration on a busy machine."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.responses import JSONResponse
from websockets.asyncio.server import ServerConnection

from hopline_client.api import ProblemError
from hopline_client.device import DisconnectedError
from hopline_client.rest import open_client
from testkit.apps import http_client, serve
from testkit.fake_gateway import Connection, Gateway, Sockets, problem, tokens
from testkit.shopper import Device, register

WELCOME = {"t": "welcome", "head": 1, "read_seq": 0, "recovered": True, "ping_s": 15}
PLACED = {"t": "n", "seq": 1, "id": "event-1", "kind": "order.placed", "data": {}, "at": "", "traceparent": ""}


INTERNAL_ERROR = 1011
"""WebSocket close code (RFC 6455 §7.4.1)."""


async def send_frames(socket: ServerConnection) -> None:
    for frame in (WELCOME, PLACED):
        await socket.send(json.dumps(frame))


async def send_frames_and_stay(socket: ServerConnection) -> None:
    await send_frames(socket)
    await socket.wait_closed()


async def send_frames_and_close(socket: ServerConnection) -> None:
    await send_frames(socket)
    await socket.close(INTERNAL_ERROR)


@asynccontextmanager
async def open_device(script: Connection) -> AsyncIterator[Device]:
    """Connect a device to a gateway that runs `script` on the WebSocket."""
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


async def test_error_lists_received_and_missing_kinds_when_a_notification_does_not_arrive() -> None:
    async with open_device(send_frames_and_stay) as device:
        await device.wait_for("order.placed")
        with pytest.raises(AssertionError, match=r"received \['order.placed'\] without \['order.shipped'\]"):
            await device.wait_for("order.placed", "order.shipped", timeout=0.05)


async def test_error_contains_the_close_code_when_the_connection_ends() -> None:
    async with open_device(send_frames_and_close) as device:
        with pytest.raises(DisconnectedError, match=str(INTERNAL_ERROR)):
            await device.wait_for("order.placed", "order.shipped")


async def test_customer_is_registered_when_a_busy_machine_rejects_the_first_attempts() -> None:
    gateway = Gateway()
    user = JSONResponse({"id": "ada", "email": "ada@example.com"}, 201)
    login = JSONResponse(tokens(1))
    for accepted in (user, login):
        gateway.responses += (problem(503, "too-many-logins"), accepted)
    async with serve(gateway) as url, http_client(url) as client:
        shopper = await register(client)
    assert (shopper.user["id"], shopper.tokens) == ("ada", tokens(1))


async def test_error_is_raised_when_the_registration_fails_for_another_reason() -> None:
    gateway = Gateway()
    gateway.responses.append(problem(503, "upstream-unavailable"))
    async with serve(gateway) as url, http_client(url) as client:
        with pytest.raises(ProblemError):
            await register(client)
