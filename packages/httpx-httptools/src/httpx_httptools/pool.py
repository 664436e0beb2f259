"""The connection pool of one transport."""

import asyncio
import ssl
import sys

import httpx

from httpx_httptools.connection import Connection, Origin

_DEFAULT_PORTS = {b"http": 80, b"https": 443}


class ConnectionPool:
    """Keeps at most `limits.max_connections` connections, which are opened when they are needed.

    The most recently used connection is used first, so surplus connections reach `limits.keepalive_expiry` and are
    closed. The expiry must be shorter than the keep-alive timeout of the server. Otherwise the server can close a
    connection while a request is on its way, and the call fails.
    """

    def __init__(self, limits: httpx.Limits, ssl_context: ssl.SSLContext | None) -> None:
        self._max_connections = _or_unlimited(limits.max_connections)
        self._max_idle = _or_unlimited(limits.max_keepalive_connections)
        self._keepalive_s = limits.keepalive_expiry
        self._ssl = ssl_context
        self._slots = asyncio.Semaphore(self._max_connections)
        self._open: set[Connection] = set()
        self._busy: set[Connection] = set()
        self._idle: list[Connection] = []
        self._next_sweep: asyncio.TimerHandle | None = None
        self.closed = False

    async def wait_for_slot(self, timeout_s: float | None) -> None:
        """Reserve a connection. Call `take_idle` or `connect` afterwards.

        Raises:
            httpx.PoolTimeout: All connections are in use.
        """
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout(f"All {self._max_connections} connections are in use.") from None

    def take_idle(self, origin: Origin) -> Connection | None:
        """Return the most recently used open connection to `origin`, or None."""
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].origin == origin:
                connection = self._idle.pop(index)
                if connection.usable:
                    self._busy.add(connection)
                    return connection
                self._drop(connection)
        return None

    async def connect(self, origin: Origin, timeout_s: float | None) -> Connection:
        """Open a connection to `origin`. An error releases the reserved slot.

        Raises:
            httpx.ConnectError: The server cannot be reached, or the pool was closed meanwhile.
            httpx.ConnectTimeout: The server did not accept the connection in time.
        """
        if len(self._open) >= self._max_connections and self._idle:
            self._drop(self._idle.pop(0))
        connection = Connection(origin, on_free=self._release, on_close=self._drop)
        self._open.add(connection)
        self._busy.add(connection)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    origin.host.decode("ascii"),
                    origin.port or _DEFAULT_PORTS[origin.scheme],
                    ssl=self._ssl_context() if origin.scheme == b"https" else None,
                )
            if self.closed:
                raise httpx.ConnectError("The transport was closed while it connected.")  # noqa: TRY301 - drops it too
        except BaseException as error:
            self._drop(connection)
            if isinstance(error, TimeoutError):
                raise httpx.ConnectTimeout("The server did not accept the connection in time.") from error
            if isinstance(error, OSError):
                raise httpx.ConnectError(str(error)) from error
            raise
        return connection

    async def aclose(self) -> None:
        """Close all connections, including those in use."""
        self.closed = True
        if self._next_sweep is not None:
            self._next_sweep.cancel()
        connections = tuple(self._open)
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection in connections))

    def _release(self, connection: Connection) -> None:
        """Keep an idle connection for the next exchange."""
        self._busy.discard(connection)
        self._slots.release()
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if len(self._idle) > self._max_idle:
            self._drop(self._idle.pop(0))
        if self._next_sweep is None and self._keepalive_s is not None:
            self._next_sweep = loop.call_later(self._keepalive_s, self._sweep)

    def _drop(self, connection: Connection) -> None:
        """Close a connection, idle or not."""
        self._open.discard(connection)
        if connection in self._busy:
            self._busy.discard(connection)
            self._slots.release()
        connection.close()

    def _sweep(self) -> None:
        """Close expired connections, and run again when the next one expires."""
        loop = asyncio.get_running_loop()
        keepalive_s = self._keepalive_s or 0.0
        while self._idle and self._idle[0].idle_since + keepalive_s <= loop.time():
            self._drop(self._idle.pop(0))
        self._next_sweep = None
        if self._idle:
            self._next_sweep = loop.call_at(self._idle[0].idle_since + keepalive_s, self._sweep)

    def _ssl_context(self) -> ssl.SSLContext:
        if self._ssl is None:
            self._ssl = ssl.create_default_context()
        return self._ssl


def _or_unlimited(limit: int | None) -> int:
    return sys.maxsize if limit is None else limit
