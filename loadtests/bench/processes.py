"""Processes that listen on a port of the loopback address, and end with us however we end."""

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
from testkit.servers import when_orphaned

_START_S = 30.0
_STOP_S = 15.0
_AMBIENT = ("DATABASE_URL", "REDIS_URL", "OTEL_", "HOPLINE_", "LOG_", "WEB_CONCURRENCY", "CRASH_AT", "ENVIRONMENT")
"""What a shell may hold that would make servers of ours part of something else, or slower."""


class DidNotStart(Exception):
    """A process ended or stayed silent while starting; the message has the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process that listens on `port`; `log` is its output."""

    port: int
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Processor time of it and its children so far."""
        times = [process.cpu_times() for process in self._family()]
        return sum(time.user + time.system for time in times)

    def resident_bytes(self) -> int:
        """Memory that would be free without it and its children."""
        return sum(int(process.memory_full_info().uss) for process in self._family())

    def end(self) -> None:
        """Ask it to stop, and make it; blocks for as long as that takes."""
        self.popen.terminate()
        try:
            self.popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def _family(self) -> Sequence[psutil.Process]:
        process = psutil.Process(self.popen.pid)
        return (process, *process.children(recursive=True))

    async def accepts(self) -> None:
        """Return once it accepts connections; raises DidNotStart."""
        deadline = time.monotonic() + _START_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if self.popen.poll() is not None or time.monotonic() > deadline:
                    raise DidNotStart(self._last_words()) from None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    async def says(self, words: str) -> None:
        """Return once its output has these words; raises DidNotStart."""
        deadline = time.monotonic() + _START_S
        while words not in self.log.read_text(errors="replace"):
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(self._last_words())
            await asyncio.sleep(0.05)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def start(
    module: str, *arguments: str, environment: Mapping[str, str], core: Core | None, port: int, log: Path
) -> Running:
    """Run `python -m module` with HOST, PORT and `environment`, on a core where one is given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_AMBIENT)}
    with started_on(core), log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**inherited, "PYTHON_DOTENV_DISABLED": "1", "HOST": "127.0.0.1", "PORT": str(port), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only us, who then stop it in order
            preexec_fn=partial(when_orphaned, signal.SIGTERM),  # noqa: PLW1509 - nothing but one system call
        )
    return Running(port=port, log=log, popen=popen)
