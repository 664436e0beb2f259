"""HTTP/1.1 over httptools with limits on size and time.

| input | limit | then |
|---|---|---|
| request line and headers | 64 KiB, including 32 bytes for each field (as in RFC 9113 §6.5.2) | 431, close |
| request line and headers | complete within 10 s of the first byte | 408, close |
| a connection that sends nothing | 10 s | close |
| chunk extensions, trailers | 64 KiB between two pieces of the body | 400, close |
| the body | complete within 30 s of its head, unless the application does not read it | 408, close |
| pipelined requests | 16 waiting | close after the earlier responses |
| a response that the client does not read | 60 s without progress | reset |

Trailers are dropped (RFC 9110 §6.5.1). The Host header is checked (RFC 9112 §3.2). A client that closes its sending
side after a complete request gets the response.

On Linux, the kernel ends connections of clients that read nothing: TCP_USER_TIMEOUT (tcp(7), RFC 5482) is the maximum
time for which data may be unacknowledged or the window may be closed. Without it, TCP would keep such a connection
while the client acknowledges probes (RFC 9293 §3.8.6.1); only the sender can end it (RFC 6429). A client that reads
slowly opens its window from time to time, so the total duration of a response is not limited.
"""

import logging
import re
import socket
import sys
from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Headers = list[tuple[bytes, bytes]]

MAX_HEAD_BYTES = 64 * 1024
FIELD_OVERHEAD_BYTES = 32
"""Bytes that a header field counts in addition to its name and value."""

MAX_PIPELINED = 16
"""Maximum number of requests that wait for the response of an earlier request of their connection."""

LINGER_SECONDS = 2.0
"""Time after an error response in which input is discarded. Closing immediately would reset the connection, and the
client could lose the response (RFC 9112 §9.6)."""

UNSENT_BYTES = 64 * 1024
"""Maximum number of unsent bytes in the kernel (TCP_NOTSENT_LOWAT). With the default, it buffers 4 MB for each client
that does not read, and the application observes a slow reader in steps of a megabyte."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]*)?")
_log = logging.getLogger(__name__)
_log.setLevel(logging.ERROR)  # uvicorn logs a warning for each invalid request.


class InvalidRequestError(Exception):
    """Stops the parser. uvicorn then calls `send_400_response`."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """`http` of uvicorn's configuration: `shared.server.protocols.http:BoundedHttpProtocol`."""

    head_seconds: ClassVar = 10.0
    request_seconds: ClassVar = 30.0
    unread_seconds: ClassVar = 60.0
    probe_seconds: ClassVar = 0.5
    """Interval at which a client that closed its sending side is probed."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _log
        self.in_head = True
        """Whether the next byte belongs to a head; otherwise it belongs to a body."""
        self.head_begun = False
        """Whether the first byte of a head has arrived."""
        self.head_bytes = 0
        self.unparsed_bytes = 0
        """Bytes since the last complete head, body part or request."""
        self.progress = False
        """Whether the current piece completed a head, a body part or a request."""
        self.ignores_input = False
        """Whether further input is discarded."""
        self.late_timer: TimerHandle | None = None
        self.probe_timer: TimerHandle | None = None
        self.error = (HTTPStatus.BAD_REQUEST, "The request is not valid HTTP/1.1")

    # Extension point for subclasses

    def render(self, status: HTTPStatus, detail: str) -> tuple[Headers, bytes]:
        """Return headers and body of an error response."""
        del status  # for subclasses
        return [(b"content-type", b"text/plain; charset=utf-8")], detail.encode()

    # asyncio's callbacks

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Close the connection if it sends nothing, or does not read."""
        super().connection_made(transport)
        self._limit_unread(self.unread_seconds)
        self.timeout_keep_alive_task = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse in pieces, so that no more than two pieces are buffered when a limit is exceeded."""
        for start in range(0, len(data), MAX_HEAD_BYTES):
            if self.ignores_input:
                return
            piece = data[start : start + MAX_HEAD_BYTES]
            self.progress = False
            super().data_received(piece)
            self.unparsed_bytes = 0 if self.progress else self.unparsed_bytes + len(piece)
            if self.unparsed_bytes > MAX_HEAD_BYTES and not self.ignores_input:
                self._reject_too_large()
        if not self.ignores_input:
            self._start_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection if a complete request has no response yet.

        After the response has begun no probe is possible, and the client is treated as disconnected.
        """
        if self.ignores_input or not self.in_head or not self._is_responding() or self.cycle.response_started:
            return False
        self._stop_reading()
        self.cycle.keep_alive = False
        if self.scope["http_version"] != "1.0":
            self.probe_timer = self.loop.call_later(self.probe_seconds, self._probe)
        return True

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """Limit the number of requests that wait for an earlier response."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise InvalidRequestError
        super().on_message_begin()
        self.head_begun = True
        self.head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; discard a trailer."""
        if not self.in_head:
            return
        self.head_bytes += len(name) + len(value) + FIELD_OVERHEAD_BYTES
        if self.head_bytes > MAX_HEAD_BYTES:
            self._raise_too_large()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the head and start the request."""
        if self.head_bytes + len(self.url) > MAX_HEAD_BYTES:
            self._raise_too_large()
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            self.error = (HTTPStatus.BAD_REQUEST, "Send exactly one Host header")
            raise InvalidRequestError
        if hosts and not _HOST.fullmatch(hosts[0]):
            self.error = (HTTPStatus.BAD_REQUEST, "The Host header is not a host with an optional port")
            raise InvalidRequestError
        before = self.cycle
        super().on_headers_complete()
        self._record_progress(in_head=False)
        if self.parser.should_upgrade() and self.cycle is not before:  # the following bytes are not HTTP
            self.cycle.keep_alive = False
            self.ignores_input = True

    def on_body(self, body: bytes) -> None:
        """Record the progress."""
        self.progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the next head."""
        self._record_progress(in_head=True)
        super().on_message_complete()

    # Methods of uvicorn's class

    def handle_websocket_upgrade(self) -> None:
        """Pass the connection to the WebSocket protocol, which has separate limits for slow readers."""
        self._stop_reading()
        self._limit_unread(0)
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - `error` is more precise
        """Send the error that stopped the parser."""
        self._reject(*self.error)

    # Internals

    def _limit_unread(self, seconds: float) -> None:
        """Have the kernel end the connection if the client reads nothing for `seconds`; 0 turns this limit off."""
        connection = self.transport.get_extra_info("socket")
        if sys.platform == "linux" and connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def _is_responding(self) -> bool:
        """Return whether the response of the latest request is incomplete."""
        return self.cycle is not None and not self.cycle.response_complete

    def _record_progress(self, *, in_head: bool) -> None:
        self.in_head = in_head
        self.head_begun = False
        self.progress = True
        if self.late_timer is not None:
            self.late_timer.cancel()
            self.late_timer = None

    def _start_timer(self) -> None:
        """Start the timer of an incomplete request, or of an idle connection if uvicorn did not."""
        if self.late_timer is not None:
            return
        if not self.in_head:
            self.late_timer = self.loop.call_later(self.request_seconds, self._on_late_body)
        elif self.head_begun or self.unparsed_bytes:
            self.late_timer = self.loop.call_later(self.head_seconds, self._on_late_head)
        elif self.timeout_keep_alive_task is None and not self._is_responding():
            # The response was sent before the body had arrived, so uvicorn has not started this timer.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _on_late_head(self) -> None:
        self.late_timer = None
        if self.head_begun:
            self._reject(HTTPStatus.REQUEST_TIMEOUT, f"The head was not complete within {self.head_seconds:g} s")
        elif not self._is_responding():  # only empty lines arrived
            self.transport.close()

    def _on_late_body(self) -> None:
        if self.flow.read_paused:  # the application does not read the body
            self.late_timer = self.loop.call_later(self.request_seconds, self._on_late_body)
        else:
            self._reject(HTTPStatus.REQUEST_TIMEOUT, f"The body was not complete within {self.request_seconds:g} s")

    def _raise_too_large(self) -> None:
        self.error = _HEAD_TOO_LARGE
        raise InvalidRequestError

    def _reject_too_large(self) -> None:
        self._reject(*(_HEAD_TOO_LARGE if self.in_head else _FRAMING_TOO_LARGE))

    def _stop_reading(self) -> None:
        self.ignores_input = True
        self._cancel_timers()

    def _cancel_timers(self) -> None:
        for timer in (self.late_timer, self.probe_timer):
            if timer is not None:
                timer.cancel()
        self.late_timer = self.probe_timer = None

    def _reject(self, status: HTTPStatus, detail: str) -> None:
        """Close the connection, after an error response if no earlier response is pending."""
        self._stop_reading()
        cycle = self.cycle
        if self.in_head and self._is_responding():  # the responses of earlier requests come first
            cycle.keep_alive = False
        elif self.in_head:
            self._respond(status, detail)
        elif cycle.response_started or self.pipeline:
            self.transport.close()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._respond(status, detail)

    def _respond(self, status: HTTPStatus, detail: str) -> None:
        headers, body = self.render(status, detail)
        self.transport.write(response_bytes(status, [*self.server_state.default_headers, *headers], body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.late_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _probe(self) -> None:
        """Write an interim response. It fails if the client closed the whole connection, and not only its sending side.

        Clients accept interim responses at any time (RFC 9110 §15.2).
        """
        if self._is_responding() and not self.cycle.response_started and not self.pipeline:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.probe_timer = self.loop.call_later(self.probe_seconds, self._probe)


_HEAD_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"The request line and the headers may have at most {MAX_HEAD_BYTES} bytes",
)
_FRAMING_TOO_LARGE = (
    HTTPStatus.BAD_REQUEST,
    f"Chunk extensions and trailers may have at most {MAX_HEAD_BYTES} bytes",
)


def response_bytes(status: HTTPStatus, headers: Headers, body: bytes) -> bytes:
    """Return a complete response with `Connection: close`."""
    lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
    return b"\r\n".join(lines)
