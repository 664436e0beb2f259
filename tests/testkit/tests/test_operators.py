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


def test_connections_of_the_listening_process_are_not_counted() -> None:
    accepted_at_5432 = "0: 0100007F:1538 0100007F:C350 01 00000000:00000000 00:00000000 00000000 1000 0 1"
    assert count_connections(accepted_at_5432, port=5432) == 0
    assert count_connections(accepted_at_5432, port=50_000) == 1
