"""Options of the listening sockets."""

import asyncio
import socket

from observatory.listeners import listen


class TestListen:
    async def test_small_responses_do_not_wait_for_acknowledgements(self) -> None:
        options: asyncio.Queue[int] = asyncio.Queue()

        class Responding(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted = transport.get_extra_info("socket")
                options.put_nowait(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        listener = listen("127.0.0.1", 0)
        async with await asyncio.get_running_loop().create_server(Responding, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await options.get() == 1
            writer.close()
            await writer.wait_closed()
