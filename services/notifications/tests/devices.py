"""A device: it keeps its cursor over reconnects and complains about every gap and every repeat."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from services.notifications.tests.factories import Instance
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from testkit.waiting import PATIENCE_S, eventually

Frame = dict[str, Any]


@asynccontextmanager
async def raw_socket(instance: Instance, **options: Any) -> AsyncIterator[ClientConnection]:
    """A connection that has not said hello."""
    async with connect(instance.websocket_url, compression=None, **options) as socket:
        yield socket


async def say(socket: ClientConnection, frame: Frame) -> None:
    await socket.send(orjson.dumps(frame).decode())


async def close_code(socket: ClientConnection) -> int | None:
    """Read until the server closes; its code."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await socket.recv()
    return socket.close_code


class Device:
    """One device of a user. `seen` holds the seqs it got in order, over all its connections."""

    def __init__(self, user_id: UUID, *, answers_pings: bool = True) -> None:
        self.user_id = user_id
        self.cursor = 0
        self.seen: list[int] = []
        self.frames: list[Frame] = []
        self.complaints: list[str] = []
        self.close_code: int | None = None
        self._answers_pings = answers_pings
        self._socket: ClientConnection | None = None

    @asynccontextmanager
    async def connected(self, instance: Instance, *, ticket: str | None = None) -> AsyncIterator["Device"]:
        """Connect, say hello with the cursor, and listen; `self` once it is welcomed or refused."""
        ticket = ticket or await instance.ticket(self.user_id)
        before = len(self.of("welcome"))
        self.close_code = None
        async with raw_socket(instance) as socket:
            self._socket = socket
            await self.say({"t": "hello", "v": 1, "ticket": ticket, "cursor": self.cursor})
            listener = asyncio.create_task(self._listen(socket))
            try:
                await eventually(lambda: len(self.of("welcome")) > before or self.close_code, what="welcome")
                yield self
            finally:
                listener.cancel()
                await asyncio.wait([listener])

    async def say(self, frame: Frame) -> None:
        assert self._socket is not None
        await say(self._socket, frame)

    def cut(self) -> None:
        """Break the connection without a word."""
        assert self._socket is not None
        self._socket.transport.abort()

    def of(self, kind: str) -> list[Frame]:
        """The frames of this kind so far."""
        return [frame for frame in self.frames if frame["t"] == kind]

    async def sees(self, head: int) -> None:
        """Wait until it has seen 1..head; it must have seen that without gap or repeat."""
        await eventually(lambda: self.cursor >= head or self.complaints, what=f"seq {head}")
        assert self.complaints == []
        assert self.cursor == head

    async def sees_one_more(self, *, or_waits: float = PATIENCE_S) -> None:
        """Wait until it has seen something new, or `or_waits` seconds."""
        before = self.cursor
        with contextlib.suppress(AssertionError):
            await eventually(lambda: self.cursor > before, timeout=or_waits)

    async def is_closed(self) -> int:
        """Wait until the server has closed it; the code."""
        await eventually(lambda: self.close_code is not None, what="a close frame")
        assert self.close_code is not None
        return self.close_code

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                await self._take(orjson.loads(message))
        except ConnectionClosed:
            pass
        finally:
            self.close_code = socket.close_code

    async def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        if frame["t"] == "welcome" and not frame["recovered"]:
            self.cursor = frame["head"]
        if frame["t"] == "n":
            if frame["seq"] != self.cursor + 1:
                self.complaints.append(f"{frame['seq']} after {self.cursor}")
            self.cursor = frame["seq"]
            self.seen.append(frame["seq"])
        if frame["t"] == "ping" and self._answers_pings:
            await self.say({"t": "pong", "cursor": self.cursor})
