"""uvicorn's WebSocket protocol, bounded: a peer that does not read can hold neither memory nor the close frame.

uvicorn waits for room in the write buffer before it writes anything, a close frame too. A peer that has stopped
reading would never learn why it is closed, and would stay connected for as long as it likes.

uvicorn documents that its `ws` option takes a protocol class. Four attributes of the base class are used: `transport`,
`loop`, `writable` and `close_timer`. They have no underscore and no documentation, so `pyproject.toml` bounds uvicorn
to one minor version and `shared/tests/test_websocket_protocol.py` checks them.
"""

import socket
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

KERNEL_BUFFER_BYTES = 64 * 1024
"""Linux doubles it for its own book-keeping. Left to itself, it would let 4 MB pile up before a slow reader shows."""

FAREWELL_S = 30.0
"""How long a closed peer may take to read what was on its way, and the close frame behind it."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """`ws` of uvicorn's configuration: `shared.websocket_protocol:BoundedWebSocket`."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound what the kernel buffers for this peer."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)

    async def send(self, message: Any) -> None:
        """Write; a close frame goes behind what is buffered, without waiting for room, and the peer has a deadline."""
        closes = message["type"] == "websocket.close"
        if closes:
            self.writable.set()
        await super().send(message)
        if closes and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(FAREWELL_S, self.transport.abort)
