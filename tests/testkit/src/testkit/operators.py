"""What the operator of a stack may do to its processes: look at them, kill them, turn their lines up, read those.

The same words in both modes, so that the same tests run in both.
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
from pathlib import Path
from typing import Any, ClassVar

import httpx

from compose.engine import Engine
from compose.errors import ComposeError
from compose.project import from_environment
from embedded.ports import PORTS

SERVICES = ("gateway", "users", "orders", "notifications")
_WRITERS = (*SERVICES, "worker")


class Operator(ABC):
    """Runs one stack, that of HOPLINE_HOME and HOPLINE_PORT_OFFSET in `environment`."""

    command: ClassVar[str]
    """The module that `make` calls in this mode."""

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of `make`'s commands: `status`, `jobs`, `replay`, …."""
        return subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", self.command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What `make status` says."""
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def process(self, name: str) -> dict[str, Any]:
        """What it says of one process: its pid, and the state RUNNING where it is well."""
        [found] = [process for process in self.status()["processes"] if process["name"] == self._known_as(name)]
        return dict(found)

    @abstractmethod
    def kill(self, name: str) -> int:
        """Kill -9 a process; the pid that it had."""

    @abstractmethod
    def is_ready(self, service: str) -> bool:
        """Whether a service's `/health/ready` answers 200 now."""

    @abstractmethod
    def secrets(self) -> list[str]:
        """What the stack has made up to be kept to itself."""

    @contextmanager
    def lines_at_debug(self) -> Iterator[list[str]]:
        """What services and worker write within the block, at DEBUG: there once the block has ended."""
        lines: list[str] = []
        begun = self._places()
        self._toggle_debug()
        try:
            yield lines
        finally:
            self._toggle_debug()
            lines += self._written_since(begun)

    def _known_as(self, name: str) -> str:
        """The process's name in this mode; tests say `redis` for whatever speaks its protocol."""
        return name

    @abstractmethod
    def _toggle_debug(self) -> None: ...

    @abstractmethod
    def _places(self) -> dict[str, Any]:
        """How far each writer's lines go now."""

    @abstractmethod
    def _written_since(self, begun: Mapping[str, Any]) -> list[str]: ...


class EmbeddedOperator(Operator):
    """Of a stack of processes on this machine."""

    command = "embedded"

    def kill(self, name: str) -> int:
        """The supervisor starts it again."""
        pid: int = self.process(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def is_ready(self, service: str) -> bool:
        """Every service has a port on this machine."""
        port = PORTS[service].number + int(self._environment["HOPLINE_PORT_OFFSET"])
        try:
            return httpx.get(f"http://localhost:{port}/health/ready").is_success
        except httpx.TransportError:
            return False

    def secrets(self) -> list[str]:
        """One value a file of its home."""
        return [file.read_text().strip() for file in (self._home / "secrets").glob("*")]

    def _known_as(self, name: str) -> str:
        return {"redis": "valkey"}.get(name, name)

    def _toggle_debug(self) -> None:
        for process in self.status()["processes"]:
            if process["name"] in _WRITERS:
                os.kill(process["pid"], signal.SIGUSR1)

    def _places(self) -> dict[str, int]:
        return {name: self._log(name).stat().st_size for name in _WRITERS}

    def _written_since(self, begun: Mapping[str, int]) -> list[str]:
        return [self._log(name).read_bytes()[size:].decode() for name, size in begun.items()]

    @property
    def _home(self) -> Path:
        return Path(self._environment["HOPLINE_HOME"])

    def _log(self, name: str) -> Path:
        return self._home / "logs" / f"{name}.log"


class ComposeOperator(Operator):
    """Of a Compose project.

    Signals are sent from within a container: the engine takes those that it passes on itself (`docker kill`) for a
    wish that the container stay down, and does not restart it.
    """

    command = "compose"

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        super().__init__(environment=environment)
        self._project = from_environment(environment)
        self._engine = Engine(self._project.environment(environment))

    def kill(self, name: str) -> int:
        """All of the container but its init, which then ends; the engine starts it again."""
        pid: int = self.process(name)["pid"]
        with suppress(ComposeError):  # the shell that sends it ends with the container
            self._within(name, "kill -KILL -1")
        return pid

    def is_ready(self, service: str) -> bool:
        """Asked within the container: only the gateway has a port on this machine."""
        try:
            self._within(service, "exec python -m shared.probe")
        except ComposeError:
            return False
        return True

    def secrets(self) -> list[str]:
        """One value a file of what the containers are given."""
        return [file.read_text().strip() for file in self._project.secrets.glob("*")]

    def _toggle_debug(self) -> None:
        for name in _WRITERS:
            self._within(name, "kill -USR1 1")  # the init passes it on

    def _places(self) -> dict[str, str]:
        return dict.fromkeys(_WRITERS, datetime.now(UTC).isoformat())

    def _written_since(self, begun: Mapping[str, str]) -> list[str]:
        return [self._engine.run("logs", "--no-color", "--since", since, name) for name, since in begun.items()]

    def _within(self, name: str, command: str) -> None:
        self._engine.run("exec", "-T", name, "sh", "-c", command)
