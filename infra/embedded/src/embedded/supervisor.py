"""Controls supervisord over its socket.

supervisord restarts processes that exit, rotates their logs and stops them in order. Only supervisord lists the running
processes.
"""

import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import Fault, ProtocolError, ServerProxy

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from embedded.configuration import render
from embedded.errors import EmbeddedError, SupervisordStoppingError
from embedded.processes import Process
from embedded.stack import Stack


@dataclass(frozen=True)
class ProcessState:
    """State of one process in supervisord.

    `state` is supervisord's name, such as RUNNING, STOPPED or BACKOFF. `started_at` and `now` are Unix times of
    supervisord's clock, in seconds.
    """

    name: str
    state: str
    pid: int
    started_at: int
    now: int
    reason: str

    @property
    def is_running(self) -> bool:
        """Whether supervisord is starting it or it runs."""
        return self.state in {"STARTING", "RUNNING"}

    @property
    def uptime_s(self) -> int:
        """Seconds since it was last started."""
        return self.now - self.started_at if self.is_running else 0


@dataclass(frozen=True)
class Supervisor:
    """The supervisord of one stack, running or not."""

    stack: Stack

    def daemon(self) -> psutil.Process | None:
        """Return the running supervisord of this stack, from its pid file; None if that process is another program."""
        try:
            process = psutil.Process(int((self.stack.run / "supervisord.pid").read_text()))
            return process if str(self._configuration) in process.cmdline() else None
        except (OSError, ValueError, psutil.Error):
            return None

    def launch(self, processes: Collection[Process], environment: Mapping[str, str]) -> None:
        """Start supervisord, with all processes stopped."""
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(render(self.stack, processes))
        self.stack.socket.unlink(missing_ok=True)
        for process in processes:
            self.stack.worker_restarts(process.name).unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._configuration)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=dict(environment), cwd=self.stack.home
        )
        if done.returncode != 0:
            raise EmbeddedError(f"supervisord did not start: {(done.stderr or done.stdout).strip()}")

    def is_configured_as(self, processes: Iterable[Process]) -> bool:
        """Return whether it was started with the same configuration as that of `processes`."""
        return self._configuration.read_text() == render(self.stack, processes)

    def states(self) -> dict[str, ProcessState]:
        """Return a mapping of every process name to its state."""
        found = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return {
            info["name"]: ProcessState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                started_at=info["start"],
                now=info["now"],
                reason=info["spawnerr"] or info["description"],
            )
            for info in found
        }

    def start(self, process: Process) -> None:
        """Start one process, without waiting for it."""
        try:
            self._call("startProcess", f"{process.group}:{process.name}", False)
        except _FaultError as fault:
            if fault.code != Faults.ALREADY_STARTED:  # supervisord also returns this fault for BACKOFF
                raise EmbeddedError(f"{process.name} cannot be started: {fault}") from fault

    def stop(self, process: Process) -> None:
        """Stop one process and wait until it has exited."""
        try:
            self._call("stopProcess", f"{process.group}:{process.name}", True)
        except _FaultError as fault:
            if fault.code != Faults.NOT_RUNNING:
                raise EmbeddedError(f"{process.name} cannot be stopped: {fault}") from fault

    def shutdown(self) -> None:
        """Request that supervisord stops all processes, group by group, and then exits. Does not wait.

        Raises:
            SupervisordStoppingError: it is already stopping.
            EmbeddedError: it does not respond.
        """
        self._call("shutdown")

    def wake(self) -> None:
        """Connect once, so that supervisord detects ended processes now.

        It polls its sockets for up to a second, and the end of a process does not interrupt the poll (PEP 475).
        """
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.stack.socket))

    def restarts(self) -> dict[str, int]:
        """Return the number of restarts of each process and its gunicorn workers since the start of supervisord.

        Restarts of processes come from supervisord's log, those of workers from a file of each gunicorn master. Every
        later start of a process counts, also one by `make up` after a stop. Starts in records that supervisord deleted
        with an old log file (it keeps two files of 10 MB), and attempts that created no process, are not counted.
        """
        lines: list[str] = []
        for name in ("supervisord.log.1", "supervisord.log"):
            path = self.stack.logs / name
            lines += path.read_text(errors="replace").splitlines() if path.exists() else []
        starts = Counter[str]()
        for line in lines:
            if "supervisord started with pid" in line:
                starts.clear()
            elif spawned := re.search(r"spawned: '([^']+)' with pid", line):
                starts[spawned[1]] += 1
        return {name: count - 1 + self._worker_restarts(name) for name, count in starts.items()}

    def _worker_restarts(self, name: str) -> int:
        try:
            return self.stack.worker_restarts(name).stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def _configuration(self) -> Path:
        return self.stack.run / "supervisord.conf"

    def _call(self, method: str, *arguments: object) -> object:
        transport = SupervisorTransport(None, None, f"unix://{self.stack.socket}")
        try:
            with ServerProxy("http://localhost", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:
                raise SupervisordStoppingError(
                    f"the stack in {self.stack.home} is stopping: `make down` waits for its end"
                ) from fault
            raise _FaultError(fault) from fault
        except (OSError, HTTPException, ProtocolError) as error:
            raise EmbeddedError(f"supervisord does not respond on {self.stack.socket}: {error}") from error


class _FaultError(EmbeddedError):
    """supervisord rejected a call. `code` is one of `supervisor.xmlrpc.Faults`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.faultString)
        self.code = fault.faultCode
