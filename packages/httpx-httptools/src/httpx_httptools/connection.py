"""One connection. It serves one exchange after another: it writes a request and reads the response."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from httpx_httptools.response import FIRST_FINAL_STATUS, IncomingResponse

MAX_HEAD_BYTES = 64 * 1024
"""Maximum size of a response header section, of the bytes between two parts of a body, and of trailers."""

_MAX_UNREAD_BYTES = 64 * 1024
"""If more bytes of a body are unread, the connection stops reading from the socket, so the server has to wait."""


class Origin(NamedTuple):
    """Scheme, host and port of a URL. Requests to the same origin share connections."""

    scheme: bytes
    host: bytes
    port: int | None


class Connection(asyncio.Protocol):
    """A connection to `origin`. It belongs to one exchange until the response has ended.

    `on_free` is called if a response has ended and the connection can be kept. `on_close` is called otherwise: if the
    exchange was cancelled, if the response is invalid, or if bytes arrive while no request is in flight, because they
    could be taken for the response to the next request. httptools calls the `on_…` methods.
    """

    idle_since: float
    """Time at which the last response ended, by the event loop's clock."""

    received_bytes: int
    """Bytes received since the last request was sent."""

    def __init__(
        self, origin: Origin, *, on_free: Callable[["Connection"], None], on_close: Callable[["Connection"], None]
    ) -> None:
        self.origin = origin
        self._on_free = on_free
        self._on_close = on_close
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._response: IncomingResponse | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._section_bytes = 0
        self._paused = False
        self._lost = asyncio.Event()

    @property
    def usable(self) -> bool:
        """Whether the socket is open. The server may have closed it without the event loop having read this yet."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, *, read_timeout_s: float | None) -> IncomingResponse:
        """Write `request` and return the response object, which is filled as bytes arrive."""
        self._response = IncomingResponse(self, read_timeout_s=read_timeout_s, abandon=self.abandon)
        self.received_bytes = self._section_bytes = 0
        cast("asyncio.Transport", self._transport).write(request)
        return self._response

    def abandon(self) -> None:
        """Close the connection although its response has not ended."""
        self._response = None
        self._on_close(self)

    def close(self) -> None:
        """Close the socket immediately."""
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        if self._transport is not None:
            await self._lost.wait()

    def resume(self) -> None:
        """Read from the socket again after a pause."""
        if self._paused:
            self._paused = False
            cast("asyncio.Transport", self._transport).resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        response = self._response
        if response is None:
            self._on_close(self)
            return
        self.received_bytes += len(data)
        self._section_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._section_bytes > MAX_HEAD_BYTES and not response.ended:
                raise HttpParserError("A header or trailer section is too large")  # noqa: TRY301 - as the parser's own
        except (HttpParserError, HttpParserUpgrade) as error:
            failure = httpx.RemoteProtocolError(f"Invalid HTTP response: {error}")
            failure.__cause__ = error
            self._fail(response, failure)
            return
        if response.ended:
            self._end(response)
        elif response.unread > _MAX_UNREAD_BYTES and not self._paused:
            self._paused = True
            cast("asyncio.Transport", self._transport).pause_reading()
        response.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._response is not None:
            failure: httpx.TransportError
            if error is None:
                failure = httpx.RemoteProtocolError("Server disconnected before the end of its response.")
            else:
                failure = httpx.ReadError(str(error))
                failure.__cause__ = error
            self._fail(self._response, failure)
        self._lost.set()

    def on_message_begin(self) -> None:
        """Begin a response. Raise an error if it is a second response to the same request."""
        if self._response is None or self._response.ended:
            raise HttpParserError("A response without a request")
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header or a trailer."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Store status and headers, unless the response is interim and another one follows."""
        response, status = cast("IncomingResponse", self._response), self._parser.get_status_code()
        if self._section_bytes > MAX_HEAD_BYTES and _size(self._headers) > MAX_HEAD_BYTES:
            raise HttpParserError("The header section is too large")
        if status >= FIRST_FINAL_STATUS:
            self._section_bytes = 0
            response.status = status
            response.headers, self._headers = self._headers, []
            response.keep_alive = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        """Add a part of the body."""
        self._section_bytes = 0
        cast("IncomingResponse", self._response).add(piece)

    def on_message_complete(self) -> None:
        """End the response, unless it is an interim response."""
        response = cast("IncomingResponse", self._response)
        response.ended = response.status >= FIRST_FINAL_STATUS

    def _end(self, response: IncomingResponse) -> None:
        """Return the connection to the pool, or close it if the request is not completely written."""
        self._response = None
        transport = cast("asyncio.Transport", self._transport)
        if response.keep_alive and self.usable and not transport.get_write_buffer_size():
            self.resume()
            self._on_free(self)
        else:
            self._on_close(self)

    def _fail(self, response: IncomingResponse, failure: Exception) -> None:
        response.ended = False  # also if the error is in bytes after the end of the response
        response.fail(failure)
        self._response = None
        self._on_close(self)


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)
