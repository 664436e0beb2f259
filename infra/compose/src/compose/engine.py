"""`docker compose` as a library: commands, what the containers are, and clear words where there is no engine."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compose.errors import ComposeError
from shared.text import terminal_line, terminal_text

OLDEST = (2, 24)
"""Compose of January 2024: `include`, `develop.watch`, and `extends` with what is included."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of the project; `health` is empty where it has no healthcheck."""

    id: str
    name: str
    service: str
    state: str
    health: str
    exit_code: int

    @property
    def is_ready(self) -> bool:
        """Whether it runs and is healthy."""
        return self.state == "running" and self.health in {"", "healthy"}

    @property
    def is_done(self) -> bool:
        """Whether it ended well, as only one-shots should."""
        return self.state == "exited" and self.exit_code == 0

    @property
    def trouble(self) -> str | None:
        """Say what went wrong with it for good; None while there is hope."""
        if self.state in {"exited", "dead"} and self.exit_code:
            return f"it ended with status {self.exit_code}"
        if self.state == "restarting":
            return "it ended and is being restarted"
        return "its healthcheck fails" if self.health == "unhealthy" else None


@dataclass(frozen=True)
class Engine:
    """The engine that `docker` talks to, and one project on it."""

    environment: Mapping[str, str]

    def check(self) -> None:
        """Raise ComposeError, saying what to do, unless an engine answers and its Compose is new enough."""
        asked = self._docker("version", "--format", "{{.Server.Version}}")
        if asked is None:
            raise ComposeError("the command docker is missing: install Docker, or run `make up MODE=embedded`")
        if asked.returncode:
            reason = (asked.stderr.strip().splitlines() or ["no answer"])[-1]
            raise ComposeError(f"no Docker engine answers: start it, or run `make up MODE=embedded` ({reason})")
        found = self._docker("compose", "version", "--short")
        if found is None or found.returncode:
            raise ComposeError("docker has no `compose`: install its plugin, or run `make up MODE=embedded`")
        version = found.stdout.strip().removeprefix("v")
        if _numbers(version) < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise ComposeError(f"docker compose {version} is too old: install {wanted} or newer")

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a Compose command quietly and give its output; raises ComposeError with what it said."""
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
            said = (done.stderr or done.stdout).strip()
            raise ComposeError(f"docker compose {arguments[0]} failed:\n{said}")
        return done.stdout

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin a Compose command whose effects are watched elsewhere."""
        return subprocess.Popen(
            ["docker", "compose", *arguments],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def show(self, *arguments: str) -> int:
        """Run a Compose command, its output on this terminal without control characters; give its exit status."""
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
        """Run a Compose command on this terminal, where it says nothing of its own; give its exit status.

        What it writes to standard error follows at its end, without the empty line by which Compose tells a failure.
        """
        done = subprocess.run(
            ["docker", "compose", *arguments],
            env=dict(self.environment),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if said := done.stderr.strip():
            print(terminal_text(said), file=sys.stderr)
        return done.returncode

    def containers(self) -> list[Container]:
        """Give the project's containers, also those that ended."""
        return [
            Container(
                id=found["ID"],
                name=found["Name"],
                service=found["Service"],
                state=found["State"],
                health=found["Health"],
                exit_code=found["ExitCode"],
            )
            for found in _json_lines(self.run("ps", "--all", "--format", "json"))
        ]

    def services(self) -> dict[str, dict[str, Any]]:
        """Give the services as Compose understands the files: merged, extended, interpolated."""
        services: dict[str, dict[str, Any]] = json.loads(self.run("config", "--format", "json"))["services"]
        return services

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Give what the engine knows of containers."""
        asked = self._docker("inspect", *ids) if ids else None
        found: list[dict[str, Any]] = json.loads(asked.stdout or "[]") if asked else []
        return found

    def stats(self, ids: Sequence[str]) -> dict[str, str]:
        """Give the memory in use by container name, as the engine prints it (`48.3MiB / 128MiB`)."""
        asked = self._docker("stats", "--no-stream", "--format", "json", *ids) if ids else None
        return {found["Name"]: found["MemUsage"] for found in _json_lines(asked.stdout if asked else "")}

    def image_sizes(self, names: Sequence[str]) -> dict[str, int]:
        """Give the size in bytes of the images that are there."""
        asked = {name: self._docker("image", "inspect", "--format", "{{.Size}}", name) for name in names}
        return {name: int(found.stdout) for name, found in asked.items() if found and not found.returncode}

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
    """Read what Compose prints as JSON: an array until 2.20, one object a line since."""
    if output.startswith("["):
        found: list[dict[str, Any]] = json.loads(output)
        return found
    return [json.loads(line) for line in output.splitlines() if line.strip()]


def _numbers(version: str) -> tuple[int, ...]:
    """Give major and minor of `2.24.1-desktop.2`."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else ()
