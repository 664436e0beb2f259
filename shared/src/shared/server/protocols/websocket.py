"""WebSockets with limits on the memory and time of a peer that does not read, or sends too much.

- Received bytes are parsed in pieces of 4 KiB. Parsing pauses while a message waits for the application, a pong for the
  peer, or the handshake for its response. uvicorn would parse everything in one call.
- A pong waits until the transport is writable. Only the latest ping gets one (RFC 6455 §5.5.3).
- A peer that sends more than 100 control frames and fragments in a second is disconnected with 1008.
- Text that is not UTF-8 closes the connection with 1007 (RFC 6455 §8.1) and is logged without a stack trace.
- A close frame is sent without waiting for a writable transport, and the peer has 30 s to read it. uvicorn would wait
  for an unlimited time.
- An invalid handshake gets a problem.
"""

import socket
from asyncio.transports import BaseTransport
from http import HTTPStatus
from typing import Any

import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request

from shared.server.protocols.http import LINGER_SECONDS, response_bytes
from shared.server.protocols.problems import render_problem

log = structlog.get_logger(__name__)

KERNEL_BUFFER_BYTES = 64 * 1024
"""Size of the send buffer; Linux doubles it. With the default, 4 MB are buffered before a slow reader is detected."""

CLOSE_TIMEOUT_S = 30.0
"""Time in which a peer has to read the remaining data and the close frame."""

PIECE_BYTES = 4 * 1024
MAX_CONTROL_FRAMES_PER_SECOND = 100

_PONG = 0x80 | Opcode.PONG


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """`ws` of uvicorn's configuration: `shared.server.protocols.websocket:BoundedWebSocketProtocol`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.unparsed = b""
        self.pong: bytes | None = None
        """The pong that waits until the transport is writable."""
        self.waits = False
        """Whether reading is paused because of `unparsed` or `pong`."""
        self.failed = False
        """Whether the peer violated the protocol or a limit."""
        self.second = 0.0
        """Time of the event loop at which the current second of counting began."""
        self.control_frames = 0
        """Control frames and fragments in this second."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Limit the kernel's send buffer for this peer."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Parse the handshake, or frames after it."""
        if self.failed:
            return
        if self.handshake_initiated:
            self.unparsed += data
            self._parse()
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self._reject_handshake()

    def handle_connect(self, event: Request) -> None:
        """Begin the handshake if it is valid."""
        if self.conn.accept(event).status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            super().handle_connect(event)

    def resume_writing(self) -> None:
        """Send the waiting pong."""
        super().resume_writing()
        if self.pong is not None:
            pong, self.pong = self.pong, None
            self.transport.write(pong)
            self._parse()

    async def receive(self) -> Any:
        """Return the next message and continue parsing."""
        message = await super().receive()
        self._parse()
        return message

    async def send(self, message: Any) -> None:
        """Send a message. A close frame does not wait for a writable transport, and starts the peer's deadline."""
        closes = message["type"] == "websocket.close"
        if closes:
            self.writable.set()
        await super().send(message)
        if closes and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)
        if self.waits:
            self._parse()

    def handle_ping(self) -> None:
        """Send the pong, or keep it until the transport is writable."""
        output = self.conn.data_to_send()  # a piece can contain several pings and a close frame
        pongs = [frame for frame in output if frame[:1] == _PONG.to_bytes()]
        others = [frame for frame in output if frame[:1] != _PONG.to_bytes()]
        self._count_control_frame()
        if self.close_sent or self.transport.is_closing():
            return
        if pongs and self.writable.is_set():
            self.transport.write(pongs[-1])
        elif pongs:
            self.pong = pongs[-1]
        self.transport.write(b"".join(others))

    def handle_pong(self, event: Frame) -> None:
        """Count a control frame."""
        self._count_control_frame()
        super().handle_pong(event)

    def handle_text(self, event: Frame) -> None:
        """Count a fragment like a control frame, because a fragment completes no message."""
        if not event.fin:
            self._count_control_frame()
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """Count a fragment."""
        if not event.fin:
            self._count_control_frame()
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        """Count a fragment."""
        if not event.fin:
            self._count_control_frame()
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Pass the message to the application if it is valid text or binary."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.fail(CloseCode.INVALID_DATA, "text must be UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Send the close frame of a protocol error, and discard input until the connection is closed."""
        if self.failed:
            return
        self.failed = True
        self.unparsed, self.pong, self.waits = b"", None, False
        close = self.conn.close_sent
        if self.close_sent or close is None:  # the peer continues after a close frame
            self.transport.abort()
            return
        log.info("websocket_failed", code=close.code, reason=close.reason)
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def fail(self, code: int, reason: str) -> None:
        """Close the connection because of a violation by the peer."""
        if not self.failed:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def _parse(self) -> None:
        """Parse frames until one has to wait. Reading is paused meanwhile."""
        while self.unparsed and not self._must_wait():
            piece, self.unparsed = self.unparsed[:PIECE_BYTES], self.unparsed[PIECE_BYTES:]
            super().data_received(piece)
        if self.transport.is_closing():
            self.unparsed, self.pong = b"", None
        elif self.unparsed or self.pong is not None:
            self.waits = True
            self.transport.pause_reading()
        elif self.waits:
            self.waits = False
            if not self.read_paused:
                self.transport.resume_reading()

    def _must_wait(self) -> bool:
        return self.read_paused or self.pong is not None or not self.handshake_complete or self.transport.is_closing()

    def _count_control_frame(self) -> None:
        now = self.loop.time()
        if now - self.second >= 1:
            self.second, self.control_frames = now, 0
        self.control_frames += 1
        if self.control_frames > MAX_CONTROL_FRAMES_PER_SECOND:
            self.fail(CloseCode.POLICY_VIOLATION, "too many control frames")

    def _reject_handshake(self) -> None:
        error = self.conn.handshake_exc
        too_large = isinstance(error, SecurityError)  # a line is too long, or there are too many
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
        headers, body = render_problem(
            status, f"The WebSocket handshake failed: {error}", scope={"headers": []}, target=b""
        )
        version = (b"sec-websocket-version", b"13")
        self.transport.write(response_bytes(status, [*self.default_headers, *headers, version], body))
        self.transport.close()
