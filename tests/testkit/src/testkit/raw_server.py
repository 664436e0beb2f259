"""A service at the level of bytes: it says exactly what it is told to, and remembers what it heard."""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

_LENGTH = re.compile(rb"content-length: (\d+)")


@dataclass(kw_only=True)
class Peer:
    """Answers one request after the other as told, and then no more."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    made: int = 0
    """Connections that were made to it."""
    lost: int = 0
    """Those of them that its client has closed."""
    _said: deque[tuple[bytes, bool]] = field(default_factory=deque)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def says(self, *answers: bytes) -> None:
        """Give these answers, one for each request, whatever connection it comes on."""
        self._said.extend((answer, False) for answer in answers)

    def hangs_up(self, *, after: bytes = b"") -> None:
        """Give this answer and close the connection."""
        self._said.append((after, True))

    def adds(self, unasked: bytes) -> None:
        """Say this on all connections now."""
        for writer in self._writers:
            writer.write(unasked)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.made += 1
        self._writers.append(writer)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost += 1
        finally:
            self._writers.remove(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hang_up = False
        while not hang_up:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            self.heard.append(head + await reader.readexactly(int(length[1]) if length else 0))
            if not self._said:
                await reader.readexactly(1)
            answer, hang_up = self._said.popleft()
            for piece in (answer[:1], answer[1:]):  # so that what comes has to be put together
                writer.write(piece)
                await asyncio.sleep(0)
            await writer.drain()


@asynccontextmanager
async def listening(peer: Peer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on a free port of the loopback address; yields the URL."""
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{peer.port}"
