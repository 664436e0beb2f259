"""A fake `docker` program on the PATH, with outputs that a test chooses. Commands therefore run without an engine."""

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
with (folder / "calls").open("a") as calls:
    calls.write(arguments + "\\n")
responses = json.loads((folder / "responses.json").read_text())
for beginning, response in sorted(responses.items(), key=lambda item: -len(item[0])):
    if arguments.startswith(beginning):
        number = response.setdefault("calls", 0)
        response["calls"] += 1
        temporary = folder / f"responses-{{os.getpid()}}.json"
        temporary.write_text(json.dumps(responses))
        temporary.replace(folder / "responses.json")  # atomic, because calls run in parallel
        failed = number < response["failures"]
        sys.stdout.write(response["outputs"][min(number, len(response["outputs"]) - 1)])
        sys.stderr.write(response["error"])
        sys.exit(response["status"] if failed else 0)
"""


@dataclass
class FakeDocker:
    """A program whose output depends on its first arguments. A call without a configured output succeeds silently."""

    folder: Path
    responses: dict[str, Any] = field(default_factory=dict)

    def respond(
        self, beginning: str, *outputs: str, status: int = 0, error: str = "", failures: int = sys.maxsize
    ) -> None:
        """Make calls that begin with `beginning` print `outputs`, one for each call. Later calls print the last one.

        The first `failures` calls exit with `status`, and later calls with 0.
        """
        self.responses[beginning] = {
            "outputs": list(outputs) or [""],
            "status": status,
            "error": error,
            "failures": failures,
        }
        (self.folder / "responses.json").write_text(json.dumps(self.responses))

    def list_containers(self, *listings: Mapping[str, Mapping[str, Any]], failures: int = 0, error: str = "") -> None:
        """Make `compose ps` list the containers of each listing, one listing for each call.

        A listing maps a service to the fields that differ from a running, healthy container:
        `{"orders": {"Health": "starting"}}`.
        """
        outputs = (_ps_output(listing) for listing in listings)
        self.respond("compose ps", *outputs, status=1, error=error, failures=failures)

    def configure_services(self, **changed: Mapping[str, Any]) -> None:
        """Make `compose config` print the services of the stack, with these services changed or added."""
        self.respond("compose config", json.dumps({"services": {**SERVICES, **changed}}))

    @property
    def calls(self) -> list[str]:
        """The arguments of all calls."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


def _ps_output(listing: Mapping[str, Mapping[str, Any]]) -> str:
    ready = {"State": "running", "Health": "healthy", "ExitCode": 0}
    containers = (
        {"ID": f"{name}-id", "Name": f"hopline-{name}-1", "Service": name, **ready, **fields}
        for name, fields in listing.items()
    )
    return "".join(json.dumps(container) + "\n" for container in containers)


def _memory_limit(mebibytes: int) -> dict[str, Any]:
    return {"resources": {"limits": {"memory": str(mebibytes * 1024 * 1024)}}}


SERVICES: dict[str, Mapping[str, Any]] = {
    "postgres": {
        "image": "postgres:18",
        "command": ["postgres", "--max_connections=100"],
        "deploy": _memory_limit(224),
    },
    "migrate-orders": {
        "image": "hopline/orders:dev",
        "restart": "no",
        "depends_on": {"postgres": {}},
        "deploy": _memory_limit(128),
    },
    "orders": {
        "image": "hopline/orders:dev",
        "build": {},
        "environment": {"WEB_CONCURRENCY": "2", "DATABASE_POOL_SIZE": "10", "LOG_LEVEL": None},
        "depends_on": {"migrate-orders": {}, "pgbouncer": {"required": False}},  # its profile is off
        "deploy": _memory_limit(176),
    },
    "gateway": {
        "image": "hopline/gateway:dev",
        "build": {},
        "depends_on": {"orders": {}},
        "deploy": _memory_limit(160),
    },
}


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    """An engine of a supported version, with the four services of `SERVICES` and without containers."""
    folder = tmp_path / "docker"
    folder.mkdir()
    script = folder / "docker"
    script.write_text(_SCRIPT.format(python=sys.executable, folder=str(folder)))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    fake = FakeDocker(folder)
    fake.respond("version", "29.0.0\n")
    fake.respond("compose version", "2.40.1\n")
    fake.configure_services()
    fake.list_containers({})
    return fake


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(docker: FakeDocker, tmp_path: Path) -> Run:
    """Run `python -m compose …` with the fake `docker`, a separate HOPLINE_HOME and HOPLINE_PORT_OFFSET=4300."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HOPLINE_", "COMPOSE_"))},
        "PATH": f"{docker.folder}:{os.environ['PATH']}",
        "HOPLINE_HOME": str(tmp_path / "home"),
        "HOPLINE_PORT_OFFSET": "4300",
    }

    def call(*arguments: str, stdout: int = subprocess.PIPE, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "compose", *arguments],
            env={**environment, **variables},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    return call
