"""The tap is quiet about what happens whenever a stack is stopped."""

import socket
import struct
import threading

import pytest

from testkit.tap import tapped
from testkit.waiting import eventually

AT_ONCE = struct.pack("ii", 1, 0)
"""Closing resets the connection, as the end of a process does that has not read everything."""


def is_served(exporter: tuple[str, int]) -> bool:
    """Whether a thread has been given this exporter's connection and has not ended."""
    return any(exporter in getattr(thread, "_args", ()) for thread in threading.enumerate())


async def test_says_nothing_of_an_exporter_that_cuts_its_connection(capsys: pytest.CaptureFixture[str]) -> None:
    with tapped(1) as (endpoint, _):
        exporter = socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        address = exporter.getsockname()
        await eventually(lambda: is_served(address))
        exporter.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        exporter.close()
        await eventually(lambda: not is_served(address))
    assert capsys.readouterr().err == ""
