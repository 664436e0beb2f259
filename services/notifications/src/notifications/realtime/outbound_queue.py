"""The outbound queue of one socket and its writer.

Adding a frame never waits. The writer task exists only while there is something to write, so an idle socket has no
task besides that of the endpoint.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from notifications.errors import CloseCode
from notifications.realtime import metrics
from notifications.realtime.frames import NotificationFrame, ServerFrame
from notifications.realtime.spans import delivery_span

log = structlog.get_logger(__name__)

MAX_FRAMES = 256
MAX_BYTES = 1_000_000
"""Limits of one queue. Beyond them the client is a slow reader, which reconnects and catches up from the feed."""

SMALL_FRAME_BYTES = 64
"""Estimated size of a frame that is not a notification."""


class OutboundQueue:
    """Writes queued frames in order, then those that `send_more` sends.

    `send_more` is awaited when the queue is empty. It sends frames with `send_now` and returns False if it has none.
    The socket is closed with SLOW_READER if the queue is full or a frame is not written within `write_timeout_s`
    seconds.
    """

    __slots__ = (
        "_bytes",
        "_disconnected",
        "_frames",
        "_send_more",
        "_user_id",
        "_websocket",
        "_write_timeout_s",
        "_writer",
        "closing",
    )

    def __init__(
        self,
        *,
        websocket: WebSocket,
        user_id: UUID,
        write_timeout_s: float,
        send_more: Callable[[], Awaitable[bool]],
    ) -> None:
        self.closing: CloseCode | None = None
        self._websocket = websocket
        self._user_id = user_id
        self._write_timeout_s = write_timeout_s
        self._send_more = send_more
        self._frames: list[tuple[ServerFrame, int]] = []  # nearly always empty; a deque would take 760 bytes
        self._bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._disconnected = False

    def put(self, frame: ServerFrame, *, size: int = SMALL_FRAME_BYTES) -> None:
        """Add a frame of about `size` bytes."""
        if self.closing is not None:
            return
        self._frames.append((frame, size))
        self._bytes += size
        if len(self._frames) > MAX_FRAMES or self._bytes > MAX_BYTES:
            self.close(CloseCode.SLOW_READER)
        self.wake()

    def wake(self) -> None:
        """Start the writer if it is not running."""
        if self._writer is None and not self._disconnected:
            self._writer = asyncio.create_task(self._write())

    def close(self, code: CloseCode, *, flush: bool = False) -> None:
        """Close the socket now, or with `flush` after the queued frames. Later calls have no effect."""
        if self.closing is not None:
            return
        self.closing = code
        if not flush:
            self._frames.clear()
            self._stop_writer()
        self.wake()

    def stop(self) -> None:
        """Stop writing, because the client has disconnected."""
        self._disconnected = True
        self._frames.clear()
        self._stop_writer()

    async def send_now(self, frame: ServerFrame, *, live: bool = False) -> None:
        """Write one frame now, for `send_more` only. Other callers use `put`.

        The latency of a `live` notification is recorded. Nothing is written after the client has disconnected.
        """
        if self._disconnected:
            return
        try:
            async with asyncio.timeout(self._write_timeout_s):
                if isinstance(frame, NotificationFrame):
                    with delivery_span(self._user_id, frame) as traced_frame:
                        await self._websocket.send_text(traced_frame.encode())
                        if live:
                            metrics.record_latency(frame)
                    metrics.sent_notifications.add(1)
                else:
                    await self._websocket.send_text(frame.encode())
        except TimeoutError:
            self._frames.clear()
            self.closing = self.closing or CloseCode.SLOW_READER
        except (WebSocketDisconnect, RuntimeError):  # the client has disconnected, or uvicorn has closed the socket
            self._disconnected = True

    async def _write(self) -> None:
        try:
            while not self._disconnected:
                if self._frames:
                    frame, size = self._frames.pop(0)
                    self._bytes -= size
                    await self.send_now(frame, live=True)
                elif self.closing is not None:
                    await self._close(self.closing)
                elif not await self._send_more() and not self._frames and self.closing is None:
                    return
        except Exception:
            log.exception("socket_failed", user_id=self._user_id)
            await self._close(CloseCode.SERVER_ERROR)
        finally:
            if self._writer is asyncio.current_task():
                self._writer = None

    async def _close(self, code: CloseCode) -> None:
        self._disconnected = True
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
