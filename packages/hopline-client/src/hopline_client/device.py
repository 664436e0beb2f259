"""A device of a user: a WebSocket that connects again and resumes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from hopline_client import api
from hopline_client.api import ProblemError
from hopline_client.backoff import Backoff
from hopline_client.realtime import CloseCode, Feed, Frame
from hopline_client.rest import Client

MAX_FRAME_BYTES = 1024 * 1024
MAX_WAITING_FRAMES = 256
"""Frames that wait for the application. Then the socket is not read, so that the server has to wait."""

_ABNORMAL_CLOSURE = 1006
"""The close code of a connection that ended without a close frame (RFC 6455 §7.1.5)."""

_PAGE_SIZE = 100
"""Notifications of one page of the history."""


class DisconnectedError(Exception):
    """A connection failed or ended.

    `code` is the close code (1006 without a close frame), or None if the WebSocket did not open or the device ended it.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class DelayLimits:
    """Limits of the delay before the next connection, in seconds.

    `too_many_s`: minimum after the server rejected a connection because the user has too many. `max_retry_s`: maximum
    that the server can request, by a drain frame or by the Retry-After of a rejected ticket.
    """

    too_many_s: float = 30.0
    max_retry_s: float = 60.0


class Device:
    """Receives the feed of the logged-in user after `cursor`: in order, without gaps or repeats, over many connections.

    Within `async with` it is connected, and `receive` yields the frames that arrive. If `on_frame` is given, `receive`
    yields nothing: `on_frame` is called with every frame that arrives, repeated ones as well, and with those that are
    read from the history. A device that does not resume has one connection; a gap or a repeat ends it.
    """

    def __init__(
        self,
        *,
        client: Client,
        cursor: int = 0,
        resumes: bool = True,
        on_frame: Callable[[Frame], None] | None = None,
        backoff: Backoff | None = None,
        delay_limits: DelayLimits | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self.feed = Feed(cursor=cursor)
        self.url = ""
        self.close_code: int | None = None
        self.welcome = Frame({})
        self._client = client
        self._resumes = resumes
        self._on_frame = on_frame
        self._backoff = backoff or Backoff(first_s=0.5, max_s=30.0)
        self._delay_limits = delay_limits or DelayLimits()
        self._timeout_s = timeout_s
        self._socket: ClientConnection | None = None
        self._rooms: set[str] = set()
        self._failure: Exception | None = None
        self._arrived: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._slots = asyncio.Semaphore(MAX_WAITING_FRAMES)
        self._started = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect, and return after the welcome.

        Raises DisconnectedError if the welcome does not arrive in time, ProblemError if the ticket is rejected.
        """
        self._running = asyncio.create_task(self._run_to_end())
        try:
            async with asyncio.timeout(3 * self._timeout_s):
                await self._started.wait()
            if not self.welcome:
                await self._running
        except BaseException as error:
            await self.__aexit__(None, None, None)
            if isinstance(error, TimeoutError):
                reason = f": {self._failure}" if self._failure else ""
                raise DisconnectedError(f"no welcome within {3 * self._timeout_s:g} s{reason}") from self._failure
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disconnect. `receive` ends after the frames that have arrived, also in other tasks."""
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def receive(self) -> AsyncIterator[Frame]:
        """Yield new notifications, read marks and frames of rooms, and the welcome of each connection.

        After the last frame it ends if the `async with` block has ended. Otherwise it raises DisconnectedError if the
        device does not resume, ProblemError if the server rejects the tokens.
        """
        while frame := await self._arrived.get():
            self._slots.release()
            yield frame
        self._arrived.put_nowait(None)  # another iteration ends as well
        if self._running and not self._running.cancelled():
            await self._running

    async def notifications(self) -> AsyncIterator[Frame]:
        """Yield the frames of notifications only. Raises as `receive` does."""
        async for frame in self.receive():
            if frame["t"] == "n":
                yield frame

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises ProblemError if the server rejects the tokens. A device that does not resume raises the error that ended
        its connection.
        """
        attempt = 0
        while True:
            failure: DisconnectedError | ProblemError | httpx.TransportError
            began = asyncio.get_running_loop().time()
            try:
                await self._connect()
            except (DisconnectedError, ProblemError, httpx.TransportError) as raised:
                self._failure = failure = raised
            if not self._resumes or (isinstance(failure, ProblemError) and failure.status in {401, 403}):
                raise failure
            lasted_s = asyncio.get_running_loop().time() - began
            attempt = 0 if lasted_s > self._backoff.max_s else attempt + 1
            await asyncio.sleep(self._delay_s(failure, attempt))

    async def join(self, room: str) -> None:
        """Join a room; `joined` or `join_rejected` follows. It is joined again after each new connection."""
        self._rooms.add(room)
        with suppress(DisconnectedError):
            await self._send({"t": "join", "room": room})

    async def leave(self, room: str) -> None:
        """Leave a room; `left` follows unless the connection ends."""
        self._rooms.discard(room)
        with suppress(DisconnectedError):
            await self._send({"t": "leave", "room": room})

    async def mark_read(self, up_to: int) -> None:
        """Mark notifications as read; `read` follows on all devices of the user. Raises DisconnectedError."""
        await self._send({"t": "read", "up_to": up_to})

    def abort(self) -> None:
        """End the connection without a close frame, as a lost network does."""
        if self._socket:
            self._socket.transport.abort()

    async def _run_to_end(self) -> None:
        try:
            await self.run()
        except Exception:
            self._started.set()
            raise
        finally:
            self._arrived.put_nowait(None)

    async def _connect(self) -> NoReturn:
        """Serve one connection until it ends."""
        try:
            ticket = await self._client.call(api.create_ticket())
            self.url = ticket["url"]
            async with connect(
                self.url,
                open_timeout=self._timeout_s,
                close_timeout=self._timeout_s,
                max_size=MAX_FRAME_BYTES,
                compression=None,
                proxy=None,
            ) as self._socket:
                await self._serve(self._socket, ticket["ticket"])
        except ConnectionClosed as closed:
            raise self._disconnected(closed) from closed
        except TimeoutError as error:
            raise DisconnectedError("the WebSocket did not connect, or was silent for too long") from error
        except (OSError, WebSocketException) as error:
            raise DisconnectedError(f"cannot open the WebSocket: {error or type(error).__name__}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise DisconnectedError(f"the server sent an invalid frame: {error!r}") from error
        finally:
            self._socket = None

    async def _serve(self, socket: ClientConnection, ticket: str) -> NoReturn:
        try:
            await self._send(self.feed.hello(ticket))
            silence_s = self._timeout_s
            while True:
                async with asyncio.timeout(silence_s):
                    text = await socket.recv()
                await self._receive(Frame.parse(text))
                silence_s = 2 * self.feed.ping_s + self._timeout_s
        finally:
            if not socket.transport.is_closing():
                socket.transport.resume_reading()  # the server's close frame follows the unread frames

    async def _receive(self, frame: Frame) -> None:
        if self._on_frame:
            self._on_frame(frame)
        before = self.feed.cursor
        handling = self.feed.handle(frame)
        if not self._resumes and frame["t"] == "n" and not handling.is_new:
            raise DisconnectedError(f"notification {frame['seq']} came after {before}")
        if handling.read_until:
            await self._read_history(until=handling.read_until)
            handling = self.feed.handle(frame)
        if handling.response:
            await self._send(handling.response)
        if frame["t"] == "welcome":
            self.welcome = frame
            self._started.set()
            for room in tuple(self._rooms):  # another task can change the set meanwhile
                await self._send({"t": "join", "room": room})
        if handling.is_new:
            await self._pass_on(frame)

    async def _read_history(self, *, until: int) -> None:
        while self.feed.cursor < until:
            page = await self._client.call(api.list_notifications(after_seq=self.feed.cursor, limit=_PAGE_SIZE))
            for frame in self.feed.handle_history(page["items"], until=until):
                if self._on_frame:
                    self._on_frame(frame)
                await self._pass_on(frame)

    async def _pass_on(self, frame: Frame) -> None:
        if not self._on_frame:
            await self._slots.acquire()
            self._arrived.put_nowait(frame)

    async def _send(self, frame: dict[str, Any]) -> None:
        if not self._socket:
            raise DisconnectedError("not connected")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send(json.dumps(frame))
        except ConnectionClosed as closed:
            raise self._disconnected(closed) from closed
        except TimeoutError as error:
            raise DisconnectedError(f"the server has read nothing for {self._timeout_s:g} s") from error

    def _disconnected(self, closed: ConnectionClosed) -> DisconnectedError:
        self.close_code = closed.rcvd.code if closed.rcvd else _ABNORMAL_CLOSURE
        return DisconnectedError(f"the WebSocket was closed: {closed}", code=self.close_code)

    def _delay_s(self, failure: Exception, attempt: int) -> float:
        """Return how long to wait before the next connection, which has a new ticket in any case."""
        code = failure.code if isinstance(failure, DisconnectedError) else None
        if code == CloseCode.RESTARTING and self.feed.retry_s is not None:
            return min(self.feed.retry_s, self._delay_limits.max_retry_s)
        delay_s = self._backoff.delay_s(attempt - 1 if attempt else 0)
        if isinstance(failure, ProblemError) and failure.retry_after_s is not None:
            return max(delay_s, min(failure.retry_after_s, self._delay_limits.max_retry_s))
        return self._delay_limits.too_many_s + delay_s if code == CloseCode.TOO_MANY_CONNECTIONS else delay_s
