"""Options of accepted connections."""

import asyncio
import socket

from observatory.listeners import listen


class TestListen:
    async def test_accepted_connections_have_tcp_nodelay(self) -> None:
        nodelay_options: asyncio.Queue[int] = asyncio.Queue()

        class OptionReader(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted = transport.get_extra_info("socket")
                nodelay_options.put_nowait(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        listener = listen("127.0.0.1", 0)
        async with await asyncio.get_running_loop().create_server(OptionReader, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await nodelay_options.get() == 1
            writer.close()
            await writer.wait_closed()
