"""Operations on the processes of a stack: read their status, kill them, set the log level, read log records.

Both modes have the same operations, so that the same tests run in both.
"""

import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import psutil

from compose.engine import Engine
from compose.errors import ComposeError
from compose.project import from_environment
from embedded.stack import Stack
from embedded.supervisor import Supervisor
from testkit.apps import TLS

SERVICES = ("gateway", "users", "orders", "notifications")
_LOGGING_PROCESSES = (*SERVICES, "worker")
"""The processes for which `debug_records` changes the level and reads the log."""
_STORE_PORTS = {"postgres": 5432, "pgbouncer": 6432}
"""The ports in the networks of a Compose project, to which no offset applies."""
_ESTABLISHED = "01"
"""The state of an open connection in /proc/net/tcp."""


class Operator(ABC):
    """Operates the stack of HOPLINE_HOME and HOPLINE_PORT_OFFSET in `environment`."""

    command: ClassVar[str]
    """The module that `make` runs in this mode."""

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the module, such as `status`, `jobs` or `replay`."""
        return subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", self.command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """Return the output of `make status`, parsed."""
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def process(self, name: str) -> dict[str, Any]:
        """Return the pid and the state of one process; a healthy process has the state RUNNING."""
        [found] = [process for process in self.status()["processes"] if process["name"] == self._local_name(name)]
        return dict(found)

    @abstractmethod
    def kill(self, name: str) -> int:
        """Kill a process with SIGKILL and return the pid that it had. It is started again."""

    @abstractmethod
    def is_ready(self, service: str) -> bool:
        """Return whether `/health/ready` of the service responds with 200 now."""

    @abstractmethod
    def secrets(self) -> list[str]:
        """Return the generated secrets of the stack."""

    @abstractmethod
    def connections(self, name: str, store: str) -> int:
        """Return the number of connections of a process and its children to `postgres` or `pgbouncer`."""

    @contextmanager
    def debug_records(self) -> Iterator[list[str]]:
        """Collect the log records of the services and the worker within the block, at level DEBUG.

        The list is empty until the end of the block.
        """
        records: list[str] = []
        positions = self._log_positions()
        self._toggle_debug()
        try:
            yield records
        finally:
            self._toggle_debug()
            records += self._read_since(positions)

    def _local_name(self, name: str) -> str:
        """Return the name of the process in this mode; tests use `redis` for the server with the Redis protocol."""
        return name

    @abstractmethod
    def _toggle_debug(self) -> None: ...

    @abstractmethod
    def _log_positions(self) -> dict[str, Any]:
        """Return the current position in the log of each process, by name."""

    @abstractmethod
    def _read_since(self, positions: Mapping[str, Any]) -> list[str]: ...


class EmbeddedOperator(Operator):
    """Operates a stack of processes on this machine."""

    command = "embedded"

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        super().__init__(environment=environment)
        self._stack = Stack.from_environment(environment)

    def process(self, name: str) -> dict[str, Any]:
        """Ask supervisord, which takes less time than `make status`."""
        state = Supervisor(self._stack).states()[self._local_name(name)]
        return {"pid": state.pid, "state": state.state}

    def kill(self, name: str) -> int:
        """Kill the process. The supervisor starts it again."""
        pid: int = self.process(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def is_ready(self, service: str) -> bool:
        """Send the request from this machine, on which every service has a port."""
        try:
            return httpx.get(f"http://localhost:{self._stack.port(service)}/health/ready", verify=TLS).is_success
        except httpx.TransportError:
            return False

    def secrets(self) -> list[str]:
        """Return the content of each file in the folder `secrets`."""
        return [file.read_text().strip() for file in self._stack.secrets.glob("*")]

    def connections(self, name: str, store: str) -> int:
        """Count the sockets of the processes to the port of the store."""
        port = self._stack.port(store)
        root = psutil.Process(self.process(name)["pid"])
        found = [
            connection
            for process in (root, *root.children(recursive=True))
            for connection in process.net_connections("tcp")
        ]
        return sum(bool(connection.raddr) and connection.raddr.port == port for connection in found)

    def _local_name(self, name: str) -> str:
        return {"redis": "valkey"}.get(name, name)

    def _toggle_debug(self) -> None:
        for process in self.status()["processes"]:
            if process["name"] in _LOGGING_PROCESSES:
                os.kill(process["pid"], signal.SIGUSR1)

    def _log_positions(self) -> dict[str, int]:
        return {name: self._stack.log_size(name) for name in _LOGGING_PROCESSES}

    def _read_since(self, positions: Mapping[str, int]) -> list[str]:
        return [self._stack.log(name).read_bytes()[size:].decode() for name, size in positions.items()]


class ComposeOperator(Operator):
    """Operates a Compose project.

    Signals are sent within the container, because the engine does not restart a container after `docker kill`.
    """

    command = "compose"

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        super().__init__(environment=environment)
        self._project = from_environment(environment)
        self._engine = Engine(self._project.environment(environment))

    def kill(self, name: str) -> int:
        """Kill all processes of the container except its init, which then ends. The engine starts it again."""
        pid: int = self.process(name)["pid"]
        with suppress(ComposeError):  # the shell that sends the signal ends as well
            self._execute(name, "kill -KILL -1")
        return pid

    def is_ready(self, service: str) -> bool:
        """Send the request within the container, because only the gateway has a port on this machine."""
        try:
            self._execute(service, "exec python -m shared.commands.probe")
        except ComposeError:
            return False
        return True

    def secrets(self) -> list[str]:
        """Return the content of each secret file of the containers."""
        return [file.read_text().strip() for file in self._project.secrets.glob("*")]

    def connections(self, name: str, store: str) -> int:
        """Count the sockets in the network namespace of the container, because its processes belong to another user."""
        table = self._engine.run("exec", "-T", name, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6")
        return count_connections(table, port=_STORE_PORTS[store])

    def _toggle_debug(self) -> None:
        for name in _LOGGING_PROCESSES:
            self._execute(name, "kill -USR1 1")  # the init forwards it

    def _log_positions(self) -> dict[str, str]:
        return dict.fromkeys(_LOGGING_PROCESSES, datetime.now(UTC).isoformat())

    def _read_since(self, positions: Mapping[str, str]) -> list[str]:
        return [self._engine.run("logs", "--no-color", "--since", since, name) for name, since in positions.items()]

    def _execute(self, name: str, command: str) -> None:
        self._engine.run("exec", "-T", name, "sh", "-c", command)


def count_connections(table: str, *, port: int) -> int:
    """Count the established connections to `port` of any host, in the format of /proc/net/tcp and /proc/net/tcp6."""
    rows = [line.split() for line in table.splitlines()]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows if row[0] != "sl")
