"""Readiness by URL: without the proxy of the environment, and with a server that does not speak HTTP."""

import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from testkit.apps import free_port

PROGRAM = """
import asyncio, sys
from types import SimpleNamespace
from embedded.processes import Process
from embedded.readiness import is_ready
process = Process(name="users", group="services", command=[], stop_seconds=1, ready_url=sys.argv[1])
print(asyncio.run(is_ready(SimpleNamespace(), process)))
"""


@contextmanager
def server(response: bytes) -> Iterator[str]:
    """Run a server that sends `response` to every request; yield its URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(response)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as listener:
        Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_address[1]}/"
        listener.shutdown()


@pytest.mark.parametrize(
    ("response", "expected"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "True"), (b"220 ready\r\n", "False")],
    ids=["HTTP", "another protocol"],
)
def test_process_is_ready_when_its_own_response_is_200(response: bytes, expected: str) -> None:
    environment = {"http_proxy": f"http://127.0.0.1:{free_port()}"}
    with server(response) as url:
        command = [sys.executable, "-c", PROGRAM, url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr
