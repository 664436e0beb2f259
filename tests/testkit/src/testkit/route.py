"""An address that stays the same when its server is replaced, like that of a load balancer after a failover."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(kw_only=True)
class Route:
    """A TCP forwarder on the loopback address.

    Change `target_port` to forward new connections to another server. Open connections stay on the old server.
    """

    port: int
    target_port: int

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, in both directions, until both ends have closed."""
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))


@asynccontextmanager
async def open_route(target_port: int) -> AsyncIterator[Route]:
    """Listen on a free port and forward to `target_port`."""
    route = Route(port=0, target_port=target_port)
    server = await asyncio.start_server(route.forward, "127.0.0.1", 0)
    route.port = server.sockets[0].getsockname()[1]
    try:
        yield route
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
