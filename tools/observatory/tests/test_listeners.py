"""Options of accepted connections, and errors of an address that cannot be used."""

import asyncio
import socket

import pytest

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

    def test_error_names_the_offset_when_the_port_is_taken(self) -> None:
        with listen("127.0.0.1", 0) as first:
            port = first.getsockname()[1]
            with pytest.raises(OSError, match=f":{port}: Address already in use; free the port or set HOPLINE_PORT_OF"):
                listen("127.0.0.1", port)

    @pytest.mark.parametrize("host", ["192.0.2.1", "[::1]"])
    def test_error_names_the_host_when_it_is_no_address_of_this_machine(self, host: str) -> None:
        with pytest.raises(OSError, match="; set HOST to an address of this machine"):
            listen(host, 0)
