"""The tap writes no log record for a connection that its client resets."""

import socket
import struct
import threading

import pytest

from testkit.tap import open_tap
from testkit.waiting import eventually

NO_LINGER = struct.pack("ii", 1, 0)
"""With this value of SO_LINGER, closing a socket resets its connection, like the end of a process with unread data."""


def list_serving_threads() -> set[threading.Thread]:
    """Return the running threads of `socketserver` that serve a connection. They have a characteristic name."""
    return {thread for thread in threading.enumerate() if "process_request_thread" in thread.name}


async def test_nothing_is_logged_when_an_exporter_resets_its_connection(capsys: pytest.CaptureFixture[str]) -> None:
    before = list_serving_threads()
    with open_tap(1) as (endpoint, _):
        exporter = socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        [serving] = await eventually(lambda: list_serving_threads() - before)
        exporter.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        exporter.close()
        await eventually(lambda: not serving.is_alive())
    assert capsys.readouterr().err == ""
