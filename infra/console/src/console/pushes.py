"""The WebSocket as a device sees it; its frames are those of notifications' `realtime/frames.py`."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from console.failures import FailedError

_OPEN_SECONDS = 5.0
_LARGEST_FRAME = 1 << 20


class Push(dict[str, Any]):
    """A notification frame `{t, seq, id, kind, data, at, traceparent}`, and when it came."""

    def __init__(self, frame: Mapping[str, Any], *, came_at: float) -> None:
        super().__init__(frame)
        self.came_at = came_at  # on time.perf_counter()'s clock, in seconds

    @property
    def trace_id(self) -> str:
        """The trace that caused it, "" when the frame names none."""
        parts = str(self.get("traceparent") or "").split("-")
        return parts[1] if len(parts) == 4 else ""  # noqa: PLR2004 - version, trace, span, flags


class Device:
    """An open socket: keeps what comes, and answers pings with the last sequence number it has seen."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._arrived: asyncio.Queue[Push | FailedError] = asyncio.Queue()
        self._room_frames: asyncio.Queue[Mapping[str, Any] | FailedError] = asyncio.Queue()
        self._cursor = 0

    async def greet(self, ticket: str) -> Mapping[str, Any]:
        """Say hello with a ticket, from the beginning of the feed, and return the welcome."""
        await self._send({"t": "hello", "v": 1, "ticket": ticket, "cursor": self._cursor})
        frame: dict[str, Any] = json.loads(await self._connection.recv())
        if frame.get("t") != "welcome":
            raise FailedError(f"the WebSocket answered hello with {frame}, not with welcome")
        return frame

    async def listen(self) -> None:
        """Keep what comes until the socket ends or a sequence number is skipped."""
        try:
            async for raw in self._connection:
                await self._take(json.loads(raw), time.perf_counter())
            self._end(FailedError("the WebSocket was closed by the server"))
        except ConnectionClosed as closed:
            self._end(FailedError(f"the WebSocket was closed: {closed}"))
        except FailedError as failure:
            self._end(failure)

    async def pushes(self) -> AsyncIterator[Push]:
        """Yield the notifications, those that came before as well; raises FailedError where listening ended."""
        while True:
            arrived = await self._arrived.get()
            if isinstance(arrived, FailedError):
                raise arrived
            yield arrived

    async def join(self, room: str) -> None:
        """Join a room; `room_frame` returns the acknowledgement first."""
        await self._send({"t": "join", "room": room})

    async def room_frame(self) -> Mapping[str, Any]:
        """Return the next frame about a room; raises FailedError if listening ended."""
        arrived = await self._room_frames.get()
        if isinstance(arrived, FailedError):
            raise arrived
        return arrived

    def _end(self, failure: FailedError) -> None:
        self._arrived.put_nowait(failure)
        self._room_frames.put_nowait(failure)

    async def _take(self, frame: Mapping[str, Any], came_at: float) -> None:
        if frame["t"] == "ping":
            await self._send({"t": "pong", "cursor": self._cursor})
        elif frame["t"] == "n":
            if frame["seq"] != self._cursor + 1:
                raise FailedError(f"notification {frame['seq']} came after {self._cursor}")
            self._cursor = frame["seq"]
            self._arrived.put_nowait(Push(frame, came_at=came_at))
        elif "room" in frame:
            self._room_frames.put_nowait(frame)

    async def _send(self, frame: Mapping[str, Any]) -> None:
        await self._connection.send(json.dumps(frame))


@asynccontextmanager
async def open_device(url: str, ticket: str) -> AsyncIterator[tuple[Device, Mapping[str, Any]]]:
    """Open the socket, get past its greeting and listen while the block runs; yields the device and its welcome."""
    try:
        connection = await connect(url, open_timeout=_OPEN_SECONDS, max_size=_LARGEST_FRAME, proxy=None)
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise FailedError(f"cannot open the WebSocket at {url}: {error or type(error).__name__}") from error
    async with connection:
        device = Device(connection)
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                welcome = await device.greet(ticket)
        except (ConnectionClosed, TimeoutError) as error:
            raise FailedError(f"the WebSocket did not welcome its ticket: {error or 'no answer'}") from error
        listening = asyncio.create_task(device.listen())
        try:
            yield device, welcome
        finally:
            listening.cancel()
