"""A running observatory per test module, reached only through its ports."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

USUAL = {"otlp": 4318, "jaeger": 16686, "loki": 3100, "mailpit": 8025, "smtp": 1025}
START_SECONDS = 15


@dataclass(frozen=True)
class Running:
    """A started process and where it listens."""

    process: subprocess.Popen[str]
    offset: int

    def port(self, name: str) -> int:
        return USUAL[name] + self.offset

    def url(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port(name)}{path}"

    def get(self, name: str, path: str, **params: str | int) -> httpx.Response:
        return httpx.get(self.url(name, path), params=params or None, timeout=10)

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> httpx.Response:
        return httpx.post(
            self.url("otlp", path), content=body, headers={"content-type": content_type, **headers}, timeout=10
        )


def free_offset() -> int:
    """Find an offset at which all the ports are free."""
    while True:
        offset = random.randrange(20_000, 45_000)  # noqa: S311 - nothing secret about a port
        try:
            for port in USUAL.values():
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return offset


def start(offset: int, **environment: str) -> Running:
    """Start `python -m observatory` and wait until it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "observatory"],
        env={**os.environ, "HOPLINE_PORT_OFFSET": str(offset), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Running(process, offset)
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if running.get("loki", "/ready").is_success:
                return running
        except httpx.TransportError:
            continue
    stop(running)
    pytest.fail(f"the observatory did not start: {process.communicate()[1]}")


def stop(running: Running) -> int:
    """Send SIGTERM and return the exit status."""
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
    status = running.process.wait(timeout=10)
    if running.process.stderr:
        running.process.stderr.close()
    return status


@pytest.fixture(scope="module")
def observatory() -> Iterator[Running]:
    running = start(free_offset())
    yield running
    stop(running)


@pytest.fixture
def small() -> Iterator[Running]:
    """One that keeps three of everything."""
    limits = {f"OBSERVATORY_MAX_{name}": "3" for name in ("TRACES", "LOGS", "MAILS")}
    running = start(free_offset(), OBSERVATORY_MAX_SPANS="5", **limits)
    yield running
    stop(running)
