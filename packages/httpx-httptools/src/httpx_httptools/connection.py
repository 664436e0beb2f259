"""One connection: a request is written, its answer is read, then the next."""

import asyncio
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.connections.reply import OK, Reply
from gateway.errors import UpstreamBroken

HEAD_BYTES = 64 * 1024
"""A head that has not ended after so many bytes is none."""

_UNREAD_BYTES = 64 * 1024
"""Twice as much of a stream may lie unread; then no more is read from the socket, which slows the service down."""


class Connection(asyncio.Protocol):
    """A connection to the service `name`; whoever makes an exchange has it for themselves until the answer has ended.

    The `on_…` are called by httptools. Bytes that nobody asked for end the connection: they could be taken for the
    answer to what is asked next.
    """

    idle_since: float
    """When its last answer ended, by the loop's clock."""

    reply: Reply | None
    """What is being read; none between exchanges."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self.reply = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._lost = asyncio.Event()

    @property
    def usable(self) -> bool:
        """Whether another request can be written on it, as far as is known here."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def heard(self) -> bool:
        """Whether any byte of the last answer has come."""
        return self.reply is not None and self.reply.came > 0

    async def exchange(self, request: bytes, *, streamed: bool = False, until: float | None = None) -> Reply:
        """The answer to `request`: whole, or where it is `streamed` and a 200 as soon as its head is there.

        Raises UpstreamBroken where the connection ends before or something else comes than an answer, and TimeoutError
        where it has not come `until` then, by the loop's clock. After that, and where this is cancelled, the
        connection has to be closed.
        """
        transport = cast("asyncio.Transport", self._transport)
        loop = asyncio.get_running_loop()
        self.reply = reply = Reply(connection=self, arrived=loop.create_future())
        if streamed:
            reply.stream = asyncio.StreamReader(limit=_UNREAD_BYTES, loop=loop)
            reply.stream.set_transport(transport)
        transport.write(request)
        if until is None:
            await reply.arrived
            return reply
        late = loop.call_at(until, reply.give_up)  # `asyncio.timeout_at` takes three times as long
        try:
            await reply.arrived
        finally:
            late.cancel()
        return reply

    def rest(self, *, now: float) -> None:
        """Wait for the next exchange."""
        self.reply = None
        self.idle_since = now

    def close(self) -> None:
        """End it at once, without a word to the service."""
        if self._transport is not None:
            self._transport.abort()

    async def closed(self) -> None:
        """Wait until nothing of it is left."""
        if self._transport is not None:
            await self._lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        reply = self.reply
        if reply is None:
            self.close()
            return
        reply.came += len(data)
        try:
            self._parser.feed_data(data)
            if reply.came > HEAD_BYTES and not reply.status:
                raise HttpParserError("A head without an end")  # noqa: TRY301 - handled as those of the parser
        except (HttpParserError, HttpParserUpgrade) as error:
            failure = UpstreamBroken(f"{self._name} answered in no HTTP that can be read")
            failure.__cause__ = error
            reply.fail(failure)
            self.close()
            return
        if reply.has_arrived and not reply.arrived.done():
            reply.arrived.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self.reply is not None and not self.reply.ended:
            failure = UpstreamBroken(f"{self._name} broke off its answer")
            failure.__cause__ = error
            self.reply.fail(failure)
        self._lost.set()

    def on_message_begin(self) -> None:
        """An answer begins; a second one to the same request is refused."""
        if self.reply is None or self.reply.ended:
            raise HttpParserError("An answer to no request")
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """A head has ended; what follows that of an interim answer is another head."""
        reply, status = cast("Reply", self.reply), self._parser.get_status_code()
        if status < OK:
            return
        reply.status = status
        reply.headers, self._fields = self._fields, []
        reply.reusable = self._parser.should_keep_alive()
        if status != OK:
            reply.stream = None

    def on_body(self, piece: bytes) -> None:
        """A piece of the body, of which there can be several in what came at once."""
        reply = cast("Reply", self.reply)
        if reply.stream is None:
            reply.pieces.append(piece)
        else:
            reply.stream.feed_data(piece)

    def on_message_complete(self) -> None:
        """The last byte of an answer has come."""
        reply = cast("Reply", self.reply)
        reply.ended = reply.status >= OK
        if reply.ended and reply.stream is not None:
            reply.stream.feed_eof()
