"""The way out of one socket: a bounded queue and a writer that exists only while there is something to write.

Putting never waits; an idle socket costs no task beside the endpoint's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from notifications.errors import CloseCode
from notifications.realtime import metrics
from notifications.realtime.delivery import delivery_span
from notifications.realtime.frames import NotificationFrame, ServerFrame

log = structlog.get_logger(__name__)

QUEUE_FRAMES = 256
QUEUE_BYTES = 1_000_000
SMALL_FRAME_BYTES = 64


class Lane:
    """Writes frames in the order they are put, then whatever `more` sends.

    `more` is awaited when the queue is empty: it sends what it has by `send`, and returns False once it has nothing.
    A reader that lets the queue fill up, or one frame wait for `write_s` seconds, is closed with SLOW_READER.
    """

    __slots__ = ("_bytes", "_gone", "_more", "_queue", "_user_id", "_websocket", "_write_s", "_writer", "closing")

    def __init__(
        self, *, websocket: WebSocket, user_id: UUID, write_s: float, more: Callable[[], Awaitable[bool]]
    ) -> None:
        self.closing: CloseCode | None = None
        self._websocket = websocket
        self._user_id = user_id
        self._write_s = write_s
        self._more = more
        self._queue: list[tuple[ServerFrame, int]] = []  # nearly always empty, where a deque takes 760 bytes
        self._bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._gone = False

    def put(self, frame: ServerFrame, *, size: int = SMALL_FRAME_BYTES) -> None:
        """Queue a frame of about `size` bytes."""
        if self.closing is not None:
            return
        self._queue.append((frame, size))
        self._bytes += size
        if len(self._queue) > QUEUE_FRAMES or self._bytes > QUEUE_BYTES:
            self.close(CloseCode.SLOW_READER)
        self.wake()

    def wake(self) -> None:
        """Have a writer look at the queue and ask for more."""
        if self._writer is None and not self._gone:
            self._writer = asyncio.create_task(self._write())

    def close(self, code: CloseCode, *, flush: bool = False) -> None:
        """Close the socket now, or with `flush` after what is queued. Only the first call counts."""
        if self.closing is not None:
            return
        self.closing = code
        if not flush:
            self._queue.clear()
            self._stop_writer()
        self.wake()

    def disconnected(self) -> None:
        """The device has gone: nothing can be written any more."""
        self._gone = True
        self._queue.clear()
        self._stop_writer()

    async def send(self, frame: ServerFrame, *, live: bool = False) -> None:
        """Write one frame now. Only for `more`; everybody else puts, which makes it `live` news and no history."""
        try:
            async with asyncio.timeout(self._write_s):
                if isinstance(frame, NotificationFrame):
                    with delivery_span(self._user_id, frame) as carried:
                        await self._websocket.send_text(carried.encode())
                        if live:
                            metrics.record_latency(frame)
                    metrics.sent_notifications.add(1)
                else:
                    await self._websocket.send_text(frame.encode())
        except TimeoutError:
            self._queue.clear()
            self.closing = self.closing or CloseCode.SLOW_READER
        except (WebSocketDisconnect, RuntimeError):  # the device has gone, or uvicorn has closed meanwhile
            self._gone = True

    async def _write(self) -> None:
        try:
            while not self._gone:
                if self._queue:
                    frame, size = self._queue.pop(0)
                    self._bytes -= size
                    await self.send(frame, live=True)
                elif self.closing is not None:
                    await self._close(self.closing)
                elif not await self._more() and not self._queue and self.closing is None:
                    return
        except Exception:
            log.exception("socket_failed", user_id=self._user_id)
            await self._close(CloseCode.SERVER_ERROR)
        finally:
            if self._writer is asyncio.current_task():
                self._writer = None

    async def _close(self, code: CloseCode) -> None:
        self._gone = True
        metrics.closed_sockets.add(1, {"hopline.websocket.close_code": int(code)})
        log.info("socket_closed", user_id=self._user_id, code=int(code), reason=code.reason)
        try:
            await self._websocket.close(code, code.reason)
        except (WebSocketDisconnect, RuntimeError):
            return

    def _stop_writer(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None
