"""An HTTP server that sends any bytes as responses, also invalid ones, and records the received requests."""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(kw_only=True)
class RawServer:
    """Responds to each request with the next queued response.

    If no response is queued, the server waits until the client disconnects. A response that is queued later is for
    the next request.
    """

    url: str = ""
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    """Number of accepted connections."""
    disconnects: int = 0
    """Number of connections that the client has closed."""
    _responses: deque[tuple[bytes, bool]] = field(default_factory=deque)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def respond(self, *responses: bytes) -> None:
        """Queue these responses, one for each request."""
        self._responses.extend((response, False) for response in responses)

    def disconnect(self, *, after: bytes = b"") -> None:
        """Queue this response, after which the server closes the connection."""
        self._responses.append((after, True))

    def send(self, data: bytes) -> None:
        """Send these bytes on all connections now."""
        for writer in self._writers:
            writer.write(data)

    @property
    def open_connections(self) -> int:
        """Number of connections that neither side has closed."""
        return len(self._writers)

    @property
    def unsent(self) -> int:
        """Number of bytes in the write buffers of all connections."""
        return sum(writer.transport.get_write_buffer_size() for writer in self._writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        self._writers.append(writer)
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.disconnects += 1
        finally:
            self._writers.remove(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        disconnect = False
        while not disconnect:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            self.requests.append(head + await reader.readexactly(int(length[1]) if length else 0))
            if not self._responses:
                await reader.read()
                self.disconnects += 1
                return
            response, disconnect = self._responses.popleft()
            for part in (response[:1], response[1:]):  # two writes, so that the client can receive two parts
                writer.write(part)
                await asyncio.sleep(0)
            await writer.drain()


@asynccontextmanager
async def raw_server(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve on a free port of the loopback address."""
    server = RawServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    async with listener:
        yield server
