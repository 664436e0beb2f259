"""The connections to one service: which of them makes the next exchange, and when they are closed."""

import asyncio
import ssl
from collections.abc import Callable, Mapping

from gateway.connections.connection import Connection
from gateway.connections.reply import Reply
from gateway.connections.request import Origin
from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamUnreachable
from shared.http import KEEPALIVE_S

_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE", "OPTIONS", "TRACE"})


class Connections:
    """At most `at_most` connections to the service `name` at `url`, made when they are needed.

    The one used last is used first, so that those which a quieter hour does not need are closed after `keepalive_s`
    seconds, before the service would: one that both ends close at once is a failed call.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        at_most: int,
        connect_timeout_s: float = 1.0,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self.origin = Origin.of(url)
        self._name = name
        self._at_most = at_most
        self._connect_timeout_s = connect_timeout_s
        self._keepalive_s = keepalive_s
        self._ssl = ssl.create_default_context() if self.origin.secure else None
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._next_sweep: asyncio.TimerHandle | None = None

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        streamed: bool = False,
        until: float | None = None,
        on_repeat: Callable[[], None] | None = None,
    ) -> Reply:
        """The answer to one request, whole; where it is `streamed` and a 200, its head: `release` it after reading.

        It is waited for `until` then, by the loop's clock, or for ever.
        A kept connection may have been closed by the service while the request was on its way. What is idempotent is
        then asked once more (RFC 9112 §9.3.1), unless any of an answer has come, and `on_repeat` is called. No retry
        budget pays for that: a kept connection has given a whole answer before, so that a service which fails all calls
        is asked once for each.
        Cancelled, it closes its connection, so that the service sees that nobody waits.
        Raises UpstreamUnreachable, UpstreamBroken, UpstreamBusy where there are too many connections, TimeoutError
        where it or making a connection takes too long, and ValueError for what can not be written.
        """
        request = self.origin.request(method, target, headers, body)
        kept = self._kept()
        if kept is not None:
            try:
                return await self._exchange(kept, request, streamed=streamed, until=until)
            except UpstreamBroken:
                if kept.heard or method not in _IDEMPOTENT:
                    raise
                if on_repeat is not None:
                    on_repeat()
        return await self._exchange(await self._connect(until), request, streamed=streamed, until=until)

    def release(self, reply: Reply) -> None:
        """Keep the connection of this answer for the next, or close it where the answer was not read to its end.

        Once: after that the connection is somebody else's.
        """
        connection = reply.connection
        if connection.reply is not reply:
            return
        if not (reply.read and reply.reusable and connection.usable):
            self._drop(connection)
            return
        loop = asyncio.get_running_loop()
        connection.rest(now=loop.time())
        self._idle.append(connection)
        if self._next_sweep is None:
            self._next_sweep = loop.call_later(self._keepalive_s, self._sweep)

    async def aclose(self) -> None:
        """End all connections, whoever is using them, and make no other."""
        self._at_most = 0
        if self._next_sweep is not None:
            self._next_sweep.cancel()
        closing = tuple(self._open)
        for connection in closing:
            self._drop(connection)
        await asyncio.gather(*(connection.closed() for connection in closing))

    def _kept(self) -> Connection | None:
        """The connection that has been idle for the shortest time, of those that the service has not closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._drop(connection)
        return None

    async def _connect(self, until: float | None) -> Connection:
        if len(self._open) >= self._at_most:
            raise UpstreamBusy(f"{self._name} has as many connections as it may")
        connection = Connection(name=self._name)
        self._open.add(connection)
        loop = asyncio.get_running_loop()
        patience = loop.time() + self._connect_timeout_s
        try:
            async with asyncio.timeout_at(patience if until is None else min(patience, until)):
                await loop.create_connection(lambda: connection, self.origin.host, self.origin.port, ssl=self._ssl)
        except BaseException as error:
            self._drop(connection)
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise UpstreamUnreachable(f"{self._name} can not be reached") from error
            raise
        return connection

    async def _exchange(self, connection: Connection, request: bytes, *, streamed: bool, until: float | None) -> Reply:
        try:
            reply = await connection.exchange(request, streamed=streamed, until=until)
        except BaseException:
            self._drop(connection)
            raise
        if reply.stream is None:
            self.release(reply)
        return reply

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def _sweep(self) -> None:
        """Close what has been idle for long enough, and come back when the next will have been."""
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0].idle_since + self._keepalive_s <= loop.time():
            self._drop(self._idle.pop(0))
        self._next_sweep = None
        if self._idle:
            self._next_sweep = loop.call_at(self._idle[0].idle_since + self._keepalive_s, self._sweep)
