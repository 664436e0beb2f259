"""WebSocket clients. A `Device` keeps its cursor over reconnects and records every gap and repeat."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from services.notifications.tests.factories import Cluster, Instance
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from testkit.waiting import TIMEOUT_S, eventually

Frame = dict[str, Any]

LARGE_BYTES = 20_000
LARGE_DATA = {"text": "x" * LARGE_BYTES}
"""Data of a notification that is large enough to fill the buffers of a socket quickly."""


@asynccontextmanager
async def raw_socket(instance: Instance, **options: Any) -> AsyncIterator[ClientConnection]:
    """Open a connection without a hello."""
    async with connect(instance.websocket_url, compression=None, **options) as connection:
        yield connection


def hello_frame(ticket: str, *, cursor: int = 0) -> Frame:
    return {"t": "hello", "v": 1, "ticket": ticket, "cursor": cursor}


async def send_frame(connection: ClientConnection, frame: Frame) -> None:
    await connection.send(orjson.dumps(frame).decode())


async def wait_for_close_code(connection: ClientConnection) -> int | None:
    """Read until the server closes the connection, and return the close code."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                await connection.recv()
    return connection.close_code


@asynccontextmanager
async def slow_reader(instance: Instance, user: UUID) -> AsyncIterator[ClientConnection]:
    """Open a connection that sends a hello and then reads nothing. Its receive buffer is small."""
    tcp_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    tcp_socket.setblocking(False)
    host, port = instance.url.removeprefix("http://").split(":")
    await asyncio.get_running_loop().sock_connect(tcp_socket, (host, int(port)))
    async with raw_socket(instance, sock=tcp_socket, max_queue=1, close_timeout=0.1) as connection:
        await send_frame(connection, hello_frame(await instance.issue_ticket(user)))
        yield connection


async def fill_buffers(cluster: Cluster, user: UUID) -> None:
    """Add enough large notifications to fill the buffers of a slow reader's connection at both ends."""
    await cluster.add_notifications(user, count=30, data=LARGE_DATA)


@asynccontextmanager
async def all_connected(devices: Sequence["Device"], instance: Instance) -> AsyncIterator[None]:
    """Connect all devices to the instance until the block ends."""
    async with AsyncExitStack() as stack:
        for device in devices:
            await stack.enter_async_context(device.connected(instance))
        yield


class Device:
    """One device of a user.

    `received` has the seqs of all notifications that it received over all its connections. `violations` describes those
    that did not continue the sequence.
    """

    def __init__(self, user_id: UUID, *, sends_pongs: bool = True) -> None:
        self.user_id = user_id
        self.cursor = 0
        self.received: list[int] = []
        self.frames: list[Frame] = []
        self.violations: list[str] = []
        self.close_code: int | None = None
        self._sends_pongs = sends_pongs
        self._connection: ClientConnection | None = None

    @asynccontextmanager
    async def connected(self, instance: Instance, *, ticket: str | None = None) -> AsyncIterator["Device"]:
        """Connect and send a hello with the cursor. Yields `self` after the welcome or the close."""
        ticket = ticket or await instance.issue_ticket(self.user_id)
        welcomes = len(self.frames_of("welcome"))
        self.close_code = None
        async with raw_socket(instance) as connection:
            self._connection = connection
            await self.send(hello_frame(ticket, cursor=self.cursor))
            listener = asyncio.create_task(self._listen(connection))
            try:
                await eventually(lambda: len(self.frames_of("welcome")) > welcomes or self.close_code, what="welcome")
                yield self
            finally:
                listener.cancel()
                await asyncio.wait([listener])

    async def send(self, frame: Frame) -> None:
        assert self._connection is not None
        await send_frame(self._connection, frame)

    async def send_message(self, message: str | bytes) -> None:
        """Send any text or binary message, for example one that is not a valid frame."""
        assert self._connection is not None
        await self._connection.send(message)

    def abort(self) -> None:
        """Abort the connection without a close frame."""
        assert self._connection is not None
        self._connection.transport.abort()

    def frames_of(self, frame_type: str) -> list[Frame]:
        """Return the received frames of this type."""
        return [frame for frame in self.frames if frame["t"] == frame_type]

    async def wait_until_received(self, head: int) -> None:
        """Wait until the device has all notifications up to `head`, received without gap or repeat."""
        await eventually(lambda: self.cursor >= head or self.violations, what=f"seq {head}")
        assert self.violations == []
        assert self.cursor == head

    async def wait_for_next(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait at most `timeout_s` seconds for the next notification. Return also if none has arrived."""
        before = self.cursor
        with contextlib.suppress(AssertionError):
            await eventually(lambda: self.cursor > before, timeout=timeout_s)

    async def wait_for_close_code(self) -> int:
        """Wait until the server has closed the connection, and return the close code."""
        await eventually(lambda: self.close_code is not None, what="a close frame")
        assert self.close_code is not None
        return self.close_code

    async def _listen(self, connection: ClientConnection) -> None:
        try:
            async for message in connection:
                await self._handle(orjson.loads(message))
        except ConnectionClosed:
            pass
        finally:
            self.close_code = connection.close_code

    async def _handle(self, frame: Frame) -> None:
        self.frames.append(frame)
        if frame["t"] == "welcome" and not frame["recovered"]:
            self.cursor = frame["head"]
        if frame["t"] == "n":
            if frame["seq"] != self.cursor + 1:
                self.violations.append(f"seq {frame['seq']} follows {self.cursor}")
            self.cursor = frame["seq"]
            self.received.append(frame["seq"])
        if frame["t"] == "ping" and self._sends_pongs:
            await self.send({"t": "pong", "cursor": self.cursor})
