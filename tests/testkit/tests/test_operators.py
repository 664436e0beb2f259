"""Connections to a port are counted in the TCP tables of the kernel."""

import socket
from pathlib import Path

import pytest

from testkit.operators import count_connections


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_open_connections_to_the_port_are_counted(family: socket.AddressFamily, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]

        def count() -> int:
            table = "".join(Path(path).read_text() for path in ("/proc/net/tcp", "/proc/net/tcp6"))
            return count_connections(table, port=port)

        assert count() == 0  # the listening socket is not a connection
        with socket.create_connection((address, port)), socket.create_connection((address, port)):
            assert count() == 2
        assert count() == 0


def test_accepted_connection_is_not_counted_for_the_port_of_its_server() -> None:
    server_port, client_port = 0x1538, 0xC350
    accepted = "0: 0100007F:1538 0100007F:C350 01 00000000:00000000 00:00000000 00000000 1000 0 1"
    assert count_connections(accepted, port=server_port) == 0
    assert count_connections(accepted, port=client_port) == 1
