"""The tap writes no log record for connections that a stopped stack drops."""

import socket
import struct
import threading

import pytest

from testkit.tap import open_tap
from testkit.waiting import eventually

NO_LINGER = struct.pack("ii", 1, 0)
"""Closing resets the connection, like the end of a process with unread data."""


def is_served(exporter: tuple[str, int]) -> bool:
    """Return whether a running thread serves the connection of this exporter."""
    return any(exporter in getattr(thread, "_args", ()) for thread in threading.enumerate())


async def test_nothing_is_logged_when_an_exporter_drops_its_connection(capsys: pytest.CaptureFixture[str]) -> None:
    with open_tap(1) as (endpoint, _):
        exporter = socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        address = exporter.getsockname()
        await eventually(lambda: is_served(address))
        exporter.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        exporter.close()
        await eventually(lambda: not is_served(address))
    assert capsys.readouterr().err == ""
