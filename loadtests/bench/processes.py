"""Starts processes, most of which listen on a loopback port. They end when this process ends, even if it is killed."""

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
_MESSAGE_CHARACTERS = 3000
"""Length of the output in the message of a ProcessDidNotStartError."""
_REMOVED_PREFIXES = (
    "DATABASE_URL",
    "REDIS_URL",
    "OTEL_",
    "HOPLINE_",
    "LOG_",
    "WEB_CONCURRENCY",
    "CRASH_AT",
    "ENVIRONMENT",
)
"""Prefixes of variables that the processes do not inherit: they could select another stack or slow a server down."""


class ProcessDidNotStartError(Exception):
    """A process exited or did not respond during its start. The message contains the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process that was started with PORT=`port`; `log` is the file with its output."""

    port: int
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The URL at which the process listens."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process and its children, in seconds."""
        times = [process.cpu_times() for process in self._family()]
        return sum(time.user + time.system for time in times)

    def memory_bytes(self) -> int:
        """Return the memory of the process and its children that no other process shares (USS)."""
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
        """Wait until the process accepts connections; raises ProcessDidNotStartError."""
        deadline = time.monotonic() + _START_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if self.popen.poll() is not None or time.monotonic() > deadline:
                    raise ProcessDidNotStartError(self._end_of_log()) from None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    async def wait_for_log(self, words: str) -> None:
        """Wait until the output of the process contains `words`; raises ProcessDidNotStartError."""
        deadline = time.monotonic() + _START_S
        while words not in self.log.read_text(errors="replace"):
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise ProcessDidNotStartError(self._end_of_log())
            await asyncio.sleep(0.05)

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-_MESSAGE_CHARACTERS:]


def start(
    module: str, *arguments: str, environment: Mapping[str, str], core: Core | None, port: int, log: Path
) -> Running:
    """Run `python -m module` with HOST, PORT and `environment`, on a core if one is given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_REMOVED_PREFIXES)}
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
