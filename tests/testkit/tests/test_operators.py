"""The number of connections in a network is that of its established sockets to the port."""

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

        assert count() == 0  # the listening socket
        with socket.create_connection((address, port)), socket.create_connection((address, port)):
            assert count() == 2
        assert count() == 0
