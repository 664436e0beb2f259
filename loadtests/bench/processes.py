"""Starts processes that listen on a loopback port. They end with this process, however it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.cores import Core, started_on
from testkit.servers import signal_when_orphaned

_START_S = 30.0
_STOP_S = 15.0
_AMBIENT = ("DATABASE_URL", "REDIS_URL", "OTEL_", "HOPLINE_", "LOG_", "WEB_CONCURRENCY", "CRASH_AT", "ENVIRONMENT")
"""Variables of a shell that could connect the servers to another stack or slow them down."""


class ProcessDidNotStartError(Exception):
    """A process exited or did not respond during its start. The message contains the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process that listens on `port`; `log` is its output."""

    port: int
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process and its children."""
        times = [process.cpu_times() for process in self._family()]
        return sum(time.user + time.system for time in times)

    def resident_bytes(self) -> int:
        """Return the memory of the process and its children (USS)."""
        return sum(int(process.memory_full_info().uss) for process in self._family())

    def stop(self) -> None:
        """Terminate the process, and kill it after a timeout. Blocks until it has exited."""
        self.popen.terminate()
        try:
            self.popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def _family(self) -> Sequence[psutil.Process]:
        process = psutil.Process(self.popen.pid)
        return (process, *process.children(recursive=True))

    async def wait_until_listening(self) -> None:
        """Wait until it accepts connections. Raises ProcessDidNotStartError."""
        deadline = time.monotonic() + _START_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if self.popen.poll() is not None or time.monotonic() > deadline:
                    raise ProcessDidNotStartError(self._last_log_lines()) from None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    async def wait_for_log(self, words: str) -> None:
        """Wait until its output contains `words`. Raises ProcessDidNotStartError."""
        deadline = time.monotonic() + _START_S
        while words not in self.log.read_text(errors="replace"):
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise ProcessDidNotStartError(self._last_log_lines())
            await asyncio.sleep(0.05)

    def _last_log_lines(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def start(
    module: str, *arguments: str, environment: Mapping[str, str], core: Core | None, port: int, log: Path
) -> Running:
    """Run `python -m module` with HOST, PORT and `environment`, on a core if one is given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_AMBIENT)}
    with started_on(core), log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**inherited, "PYTHON_DOTENV_DISABLED": "1", "HOST": "127.0.0.1", "PORT": str(port), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is sent only to this process, which then stops the others in order
            preexec_fn=partial(signal_when_orphaned, signal.SIGTERM),  # noqa: PLW1509 - only one system call
        )
    return Running(port=port, log=log, popen=popen)
