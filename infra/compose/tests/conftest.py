"""A fake `docker` program on the PATH, with outputs that a test chooses, so that commands run without an engine."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """#!{python}
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
arguments = " ".join(sys.argv[1:])
with (folder / "called").open("a") as called:
    called.write(arguments + "\\n")
responses = json.loads((folder / "responses.json").read_text())
for beginning, response in sorted(responses.items(), key=lambda item: -len(item[0])):
    if arguments.startswith(beginning):
        number = min(response.setdefault("asked", 0), len(response["outputs"]) - 1)
        response["asked"] += 1
        being_written = folder / f"responses-{{os.getpid()}}.json"
        being_written.write_text(json.dumps(responses))
        being_written.replace(folder / "responses.json")  # atomic, because calls run in parallel
        failed = response["asked"] <= response["failures"]
        sys.stdout.write(response["outputs"][number])
        sys.stderr.write(response["error"])
        sys.exit(response["status"] if failed else 0)
"""


@dataclass
class FakeDocker:
    """Maps the first arguments of a call to its output. Other calls print nothing and succeed."""

    folder: Path
    responses: dict[str, Any] = field(default_factory=dict)

    def respond(
        self, beginning: str, *outputs: str, status: int = 0, error: str = "", failures: int = sys.maxsize
    ) -> None:
        """Print one of `outputs` for each call; later calls print the last one.

        The first calls, at most `failures`, exit with `status`; later calls succeed.
        """
        self.responses[beginning] = {
            "outputs": list(outputs) or [""],
            "status": status,
            "error": error,
            "failures": failures,
        }
        (self.folder / "responses.json").write_text(json.dumps(self.responses))

    def containers(self, *states: Mapping[str, Mapping[str, Any]], failures: int = 0, error: str = "") -> None:
        """Print these states for `compose ps`, one per call: `{"orders": {"Health": "healthy"}}`."""
        self.respond("compose ps", *(_listing(state) for state in states), status=1, error=error, failures=failures)

    @property
    def called(self) -> list[str]:
        """The arguments of all calls."""
        path = self.folder / "called"
        return path.read_text().splitlines() if path.exists() else []


def _listing(state: Mapping[str, Mapping[str, Any]]) -> str:
    usual = {"State": "running", "Health": "healthy", "ExitCode": 0}
    found = (
        {"ID": f"{name}-id", "Name": f"hopline-{name}-1", "Service": name, **usual, **known}
        for name, known in state.items()
    )
    return "".join(json.dumps(state) + "\n" for state in found)


SERVICES = {
    "postgres": {
        "image": "postgres:18",
        "command": ["postgres", "--max_connections=100"],
        "deploy": {"resources": {"limits": {"memory": "234881024"}}},
    },
    "migrate-orders": {
        "image": "hopline/orders:dev",
        "restart": "no",
        "depends_on": {"postgres": {}},
        "deploy": {"resources": {"limits": {"memory": "134217728"}}},
    },
    "orders": {
        "image": "hopline/orders:dev",
        "build": {},
        "environment": {"WEB_CONCURRENCY": "2", "DATABASE_POOL_SIZE": "10", "LOG_LEVEL": None},
        "depends_on": {"migrate-orders": {}, "pgbouncer": {"required": False}},  # its profile is off
        "deploy": {"resources": {"limits": {"memory": "184549376"}}},
    },
    "gateway": {
        "image": "hopline/gateway:dev",
        "build": {},
        "depends_on": {"orders": {}},
        "deploy": {"resources": {"limits": {"memory": "167772160"}}},
    },
}


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    """An engine that responds, has a supported version and four services."""
    folder = tmp_path / "docker"
    folder.mkdir()
    script = folder / "docker"
    script.write_text(_SCRIPT.format(python=sys.executable, folder=str(folder)))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    fake = FakeDocker(folder)
    fake.respond("version", "29.0.0\n")
    fake.respond("compose version", "2.40.1\n")
    fake.respond("compose config", json.dumps({"services": SERVICES}))
    fake.containers({})
    return fake


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(docker: FakeDocker, tmp_path: Path) -> Run:
    """Run `python -m compose …` with that `docker`, in a separate home and with a port offset of 4300."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HOPLINE_", "COMPOSE_"))},
        "PATH": f"{docker.folder}:{os.environ['PATH']}",
        "HOPLINE_HOME": str(tmp_path / "home"),
        "HOPLINE_PORT_OFFSET": "4300",
    }

    def call(*arguments: str, stdout: int = subprocess.PIPE, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "compose", *arguments],
            env={**environment, **more},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    return call
