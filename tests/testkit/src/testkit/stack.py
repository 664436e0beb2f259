"""A running system to test end to end: the one named by the environment, or an embedded one of our own."""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from testkit.tap import Passed, tapped

OTLP_PORT = 4318
_HIGHEST_PORT = 26379
_OFFSETS = range(1000, 6000, 37)
"""All below 32768, where the ports begin that the system gives to clients."""


class Stack:
    """The URLs of a running system; `embedded` runs the command line of one that we started."""

    def __init__(
        self, *, offset: int = 0, environment: dict[str, str] | None = None, passed: Passed | None = None
    ) -> None:
        self._environment = environment
        self._passed = passed

        def url(name: str, port: int) -> str:
            return os.environ.get(f"HOPLINE_{name}_URL", f"http://localhost:{port + offset}")

        self.gateway = url("GATEWAY", 8000)
        self.jaeger = url("JAEGER", 16686)
        self.loki = url("LOKI", 3100)
        self.mailpit = url("MAILPIT", 8025)
        self.services = {
            name: f"http://localhost:{port + offset}"
            for name, port in {"gateway": 8000, "users": 8001, "orders": 8002, "notifications": 8003}.items()
        }

    @property
    def environment(self) -> dict[str, str]:
        """For a process that should find this stack (`python -m console …`)."""
        return (self._environment or dict(os.environ)) | {
            "HOPLINE_GATEWAY_URL": self.gateway,
            "HOPLINE_JAEGER_URL": self.jaeger,
            "HOPLINE_LOKI_URL": self.loki,
            "HOPLINE_MAILPIT_URL": self.mailpit,
        }

    @property
    def is_ours(self) -> bool:
        """Whether its processes may be killed."""
        return self._environment is not None

    @property
    def passed(self) -> Passed:
        """The telemetry that its processes have sent, of one that is ours."""
        assert self._passed is not None
        return self._passed

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m <command>` against this stack."""
        return subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", *command], env=self.environment, capture_output=True, text=True, check=False
        )

    def processes(self) -> dict[str, dict[str, Any]]:
        """What `make status` says of each process, by name."""
        status = json.loads(self.run("embedded", "status", "--json").stdout)
        return {process["name"]: process for process in status["processes"]}


@contextmanager
def running_stack(home: Path, *, settings: Mapping[str, str] | None = None, tap: bool = True) -> Iterator[Stack]:
    """Yield the stack named by HOPLINE_GATEWAY_URL, or start an embedded one in `home` and remove it afterwards.

    `settings` go before those of a test. With the `tap`, its telemetry passes through this process and takes its time.
    """
    if "HOPLINE_GATEWAY_URL" in os.environ:
        yield Stack()
        return
    offset = _free_offset()
    environment = os.environ | {
        "HOPLINE_HOME": str(home),
        "HOPLINE_PORT_OFFSET": str(offset),
        "FULFIL_STEP_SECONDS": "1",
        "SLOW_STATEMENT_MS": "60000",  # a busy machine must not change the shape of a trace
        **(settings or {}),
    }
    for name in ("DATABASE_URL", "REDIS_URL"):  # those of hosted CI are for the service tests
        environment.pop(name, None)
    with ExitStack() as exits:
        passed = None
        if tap:
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"], passed = exits.enter_context(tapped(OTLP_PORT + offset))
        stack = Stack(offset=offset, environment=environment, passed=passed)
        try:
            started = stack.run("embedded", "up")
            if started.returncode:
                raise RuntimeError(f"the embedded stack did not start:\n{started.stdout}\n{started.stderr}")
            yield stack
        finally:
            stack.run("embedded", "clean")


def _free_offset() -> int:
    """An offset at which the stack's ports are free now; random, so that runs side by side rarely meet."""
    ports = (8000, 8001, 8002, 8003, 25432, _HIGHEST_PORT, 4318, 16686, 3100, 8025, 1025)
    for offset in random.sample(_OFFSETS, len(_OFFSETS)):
        if all(_free(port + offset) for port in ports):
            return offset
    raise RuntimeError("no port offset is free for an embedded stack")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
