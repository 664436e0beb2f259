"""Runs `docker compose` commands, reads the state of containers, and reports a missing engine."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compose.errors import ComposeError
from shared.validation.text import terminal_line, terminal_text

OLDEST = (2, 24)
"""Oldest supported Compose (January 2024), with `include`, `develop.watch` and `extends` of included services."""

_REMOVED = "No such container"
_LIST_RETRIES = 4


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of the project; `health` is empty if it has no healthcheck."""

    id: str
    name: str
    service: str
    state: str
    health: str
    exit_code: int

    @property
    def is_ready(self) -> bool:
        """Whether it is running and healthy."""
        return self.state == "running" and self.health in {"", "healthy"}

    @property
    def is_done(self) -> bool:
        """Whether it exited with status 0: a completed one-shot, or a service that was stopped."""
        return self.state == "exited" and self.exit_code == 0

    @property
    def failure(self) -> str | None:
        """The reason why it will not become ready; None if it still can."""
        if self.state in {"exited", "dead"} and self.exit_code:
            return f"it ended with status {self.exit_code}"
        if self.state == "restarting":
            return "it ended and is being restarted"
        return "its healthcheck fails" if self.health == "unhealthy" else None


@dataclass(frozen=True)
class Engine:
    """The engine that `docker` uses, and one project on it."""

    environment: Mapping[str, str]

    def check(self) -> None:
        """Raise ComposeError if no engine responds or its Compose is too old."""
        done = self._docker("version", "--format", "{{.Server.Version}}")
        if done is None:
            raise ComposeError("the command docker is missing: install Docker, or run `make up MODE=embedded`")
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no response"])[-1]
            raise ComposeError(f"no Docker engine responds: start it, or run `make up MODE=embedded` ({reason})")
        found = self._docker("compose", "version", "--short")
        if found is None or found.returncode:
            raise ComposeError("docker has no `compose`: install its plugin, or run `make up MODE=embedded`")
        version = found.stdout.strip().removeprefix("v")
        if _numbers(version) < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise ComposeError(f"docker compose {version} is too old: install {wanted} or newer")

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a Compose command and return its output. Raises ComposeError with its error output."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            env=dict(self.environment),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = (done.stderr or done.stdout).strip()
            raise ComposeError(f"docker compose {arguments[0]} failed:\n{message}")
        return done.stdout

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a Compose command without waiting for it."""
        return subprocess.Popen(
            ["docker", "compose", *arguments],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def show(self, *arguments: str) -> int:
        """Run a Compose command, print its output without control characters, and return its exit status."""
        with subprocess.Popen(
            ["docker", "compose", *arguments],
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as running:
            for line in running.stdout or ():
                print(terminal_line(line.rstrip("\n")), flush=True)
            return running.wait()

    def relay(self, *arguments: str) -> int:
        """Run a Compose command with its output on this terminal, and return its exit status.

        Its standard error is printed when it ends, without the empty line that Compose adds after a failure.
        """
        done = subprocess.run(
            ["docker", "compose", *arguments],
            env=dict(self.environment),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if message := done.stderr.strip():
            print(terminal_text(message), file=sys.stderr)
        return done.returncode

    def containers(self) -> list[Container]:
        """Return the project's containers, including those that exited.

        The engine rejects the request if any of its containers, also of another project, is removed at this moment.
        The request is then repeated.
        """
        return [
            Container(
                id=found["ID"],
                name=found["Name"],
                service=found["Service"],
                state=found["State"],
                health=found["Health"],
                exit_code=found["ExitCode"],
            )
            for found in _json_lines(self._list_containers())
        ]

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the services after Compose has merged, extended and interpolated the files."""
        services: dict[str, dict[str, Any]] = json.loads(self.run("config", "--format", "json"))["services"]
        return services

    def one_shots(self) -> set[str]:
        """Return the services that run once and exit, such as migrations. All others should keep running."""
        return {name for name, service in self.services().items() if service.get("restart") == "no"}

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the engine's description of containers (`docker inspect`)."""
        done = self._docker("inspect", *ids) if ids else None
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]") if done else []
        return found

    def stats(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the used memory by container name, as the engine prints it (`48.3MiB / 128MiB`)."""
        done = self._docker("stats", "--no-stream", "--format", "json", *ids) if ids else None
        return {found["Name"]: found["MemUsage"] for found in _json_lines(done.stdout if done else "")}

    def image_sizes(self, names: Sequence[str]) -> dict[str, int]:
        """Return the sizes of the existing images in bytes."""
        done = {name: self._docker("image", "inspect", "--format", "{{.Size}}", name) for name in names}
        return {name: int(found.stdout) for name, found in done.items() if found and not found.returncode}

    def _list_containers(self) -> str:
        for _ in range(_LIST_RETRIES):
            try:
                return self.run("ps", "--all", "--format", "json")
            except ComposeError as error:
                if _REMOVED not in str(error):
                    raise
        return self.run("ps", "--all", "--format", "json")

    def _docker(self, *arguments: str) -> "subprocess.CompletedProcess[str] | None":
        try:
            return subprocess.run(
                ["docker", *arguments],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except (FileNotFoundError, PermissionError):
            return None


def _json_lines(output: str) -> list[dict[str, Any]]:
    """Parse JSON output of Compose: an array up to version 2.20, one object per line since then."""
    if output.startswith("["):
        found: list[dict[str, Any]] = json.loads(output)
        return found
    return [json.loads(line) for line in output.splitlines() if line.strip()]


def _numbers(version: str) -> tuple[int, ...]:
    """Return major and minor of `2.24.1-desktop.2`."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else ()
