"""One response while it arrives."""

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Protocol

import httpx

FIRST_FINAL_STATUS = HTTPStatus.OK
"""Responses with a lower status are interim responses (RFC 9110 §15.2)."""


class FlowControl(Protocol):
    """The part of the connection that a response uses."""

    def resume(self) -> None:
        """Read from the socket again."""


class IncomingResponse(httpx.AsyncByteStream):
    """The head of a response, and its body as an httpx stream.

    Header names are in lower case. `headers` contains neither trailers nor headers of interim responses. `unread` is
    the number of buffered bytes of the body. `ended` is true after the last byte of the body has arrived; from then on
    the connection can serve another exchange.
    """

    def __init__(self, connection: FlowControl, *, read_timeout_s: float | None, abandon: Callable[[], None]) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.unread = 0
        self.ended = False
        self._connection = connection
        self._read_timeout_s = read_timeout_s
        self._abandon = abandon
        self._pieces: list[bytes] = []
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def wait_for_head(self) -> None:
        """Wait until the status and the headers have arrived. Raises httpx's errors."""
        while not self.status:
            await self._wait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, without decoding it. Raises httpx's errors."""
        while self._pieces or not self.ended:
            if not self._pieces:
                await self._wait()
                continue
            pieces, self._pieces, self.unread = self._pieces, [], 0
            if not self.ended:
                self._connection.resume()
            yield pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def aclose(self) -> None:
        """Close the connection if the response has not ended: its rest would arrive before the next response."""
        if not self.ended:
            self._abandon()

    def add(self, piece: bytes) -> None:
        """Append a part of the body."""
        self._pieces.append(piece)
        self.unread += len(piece)

    def fail(self, failure: Exception) -> None:
        """Make the reader raise `failure` after it has read the buffered bytes."""
        if self._failure is None:
            self._failure = failure
        self.wake()

    def wake(self) -> None:
        """Wake the reader."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        # asyncio.timeout() would take three times as much CPU time.
        late = None if self._read_timeout_s is None else loop.call_later(self._read_timeout_s, self._time_out)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if late is not None:
                late.cancel()
        if self._failure is not None and not self._pieces:
            raise self._failure

    def _time_out(self) -> None:
        if self._waiter is not None and not self._waiter.done():  # bytes that arrived in time can be handled late
            self.fail(httpx.ReadTimeout(f"No bytes received within {self._read_timeout_s:g} s."))
