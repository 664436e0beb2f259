"""WebSocket clients. A `Device` keeps its cursor over reconnects and records every gap and repeat."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from services.notifications.tests.factories import Instance
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from testkit.waiting import TIMEOUT_S, eventually

Frame = dict[str, Any]

LARGE = {"text": "x" * 20_000}
"""Data of a notification that soon fills the buffers of a socket."""


@asynccontextmanager
async def raw_socket(instance: Instance, **options: Any) -> AsyncIterator[ClientConnection]:
    """Open a connection without a hello."""
    async with connect(instance.websocket_url, compression=None, **options) as socket:
        yield socket


async def send_frame(socket: ClientConnection, frame: Frame) -> None:
    await socket.send(orjson.dumps(frame).decode())


async def wait_close_code(socket: ClientConnection) -> int | None:
    """Read until the server closes the connection, and return the close code."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                await socket.recv()
    return socket.close_code


@asynccontextmanager
async def slow_reader(instance: Instance, user: UUID) -> AsyncIterator[ClientConnection]:
    """Open a connection that sends a hello and then reads nothing. Its receive buffer is small."""
    narrow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    host, port = instance.url.removeprefix("http://").split(":")
    await asyncio.get_running_loop().sock_connect(narrow, (host, int(port)))
    async with raw_socket(instance, sock=narrow, max_queue=1, close_timeout=0.1) as connection:
        await send_frame(connection, {"t": "hello", "v": 1, "ticket": await instance.ticket(user), "cursor": 0})
        yield connection


class Device:
    """One device of a user. `seen` has the seqs that it received over all its connections."""

    def __init__(self, user_id: UUID, *, sends_pongs: bool = True) -> None:
        self.user_id = user_id
        self.cursor = 0
        self.seen: list[int] = []
        self.frames: list[Frame] = []
        self.violations: list[str] = []
        self.close_code: int | None = None
        self._sends_pongs = sends_pongs
        self._socket: ClientConnection | None = None

    @asynccontextmanager
    async def connected(self, instance: Instance, *, ticket: str | None = None) -> AsyncIterator["Device"]:
        """Connect and send a hello with the cursor. Yields `self` after the welcome or the close."""
        ticket = ticket or await instance.ticket(self.user_id)
        before = len(self.frames_of("welcome"))
        self.close_code = None
        async with raw_socket(instance) as socket:
            self._socket = socket
            await self.send({"t": "hello", "v": 1, "ticket": ticket, "cursor": self.cursor})
            listener = asyncio.create_task(self._listen(socket))
            try:
                await eventually(lambda: len(self.frames_of("welcome")) > before or self.close_code, what="welcome")
                yield self
            finally:
                listener.cancel()
                await asyncio.wait([listener])

    async def send(self, frame: Frame) -> None:
        assert self._socket is not None
        await send_frame(self._socket, frame)

    def abort(self) -> None:
        """Abort the connection without a close frame."""
        assert self._socket is not None
        self._socket.transport.abort()

    def frames_of(self, frame_type: str) -> list[Frame]:
        """Return the received frames of this type."""
        return [frame for frame in self.frames if frame["t"] == frame_type]

    async def wait_until_seen(self, head: int) -> None:
        """Wait until the device has seen 1..head, without gap or repeat."""
        await eventually(lambda: self.cursor >= head or self.violations, what=f"seq {head}")
        assert self.violations == []
        assert self.cursor == head

    async def wait_for_next(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait for the next notification, at most `timeout_s` seconds."""
        before = self.cursor
        with contextlib.suppress(AssertionError):
            await eventually(lambda: self.cursor > before, timeout=timeout_s)

    async def wait_closed(self) -> int:
        """Wait until the server has closed the connection, and return the close code."""
        await eventually(lambda: self.close_code is not None, what="a close frame")
        assert self.close_code is not None
        return self.close_code

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                await self._handle(orjson.loads(message))
        except ConnectionClosed:
            pass
        finally:
            self.close_code = socket.close_code

    async def _handle(self, frame: Frame) -> None:
        self.frames.append(frame)
        if frame["t"] == "welcome" and not frame["recovered"]:
            self.cursor = frame["head"]
        if frame["t"] == "n":
            if frame["seq"] != self.cursor + 1:
                self.violations.append(f"{frame['seq']} after {self.cursor}")
            self.cursor = frame["seq"]
            self.seen.append(frame["seq"])
        if frame["t"] == "ping" and self._sends_pongs:
            await self.send({"t": "pong", "cursor": self.cursor})
