"""Canary: what `BoundedWebSocket` uses of uvicorn's protocol class, whose attributes are not documented."""

import asyncio
import socket

import websockets.asyncio.client
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from shared.websocket_protocol import KERNEL_BUFFER_BYTES, BoundedWebSocket
from testkit.apps import serve


async def test_a_close_frame_does_not_wait_for_a_peer_that_does_not_read() -> None:
    made: list[BoundedWebSocket] = []
    closed = asyncio.Event()

    class Recording(BoundedWebSocket):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[arg-type]
            made.append(self)

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        [protocol] = made
        buffer = protocol.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert buffer == 2 * KERNEL_BUFFER_BYTES
        protocol.pause_writing()  # as the transport does when its buffer is full
        assert not protocol.writable.is_set()
        await websocket.close(4008)
        assert protocol.close_timer is not None
        assert protocol.close_timer.when() - protocol.loop.time() > protocol.close_timeout
        closed.set()

    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    async with serve(app, ws=Recording) as url, websockets.asyncio.client.connect(url.replace("http", "ws")) as client:
        await asyncio.wait_for(closed.wait(), 30)
        await client.wait_closed()
        assert client.close_code == 4008
