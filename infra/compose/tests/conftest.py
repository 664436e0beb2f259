"""A `docker` that a test tells what to answer, first on the PATH, so that commands run without an engine."""

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
answers = json.loads((folder / "answers.json").read_text())
for beginning, answer in sorted(answers.items(), key=lambda item: -len(item[0])):
    if arguments.startswith(beginning):
        number = min(answer.setdefault("asked", 0), len(answer["outputs"]) - 1)
        answer["asked"] += 1
        being_written = folder / f"answers-{{os.getpid()}}.json"
        being_written.write_text(json.dumps(answers))
        being_written.replace(folder / "answers.json")  # in one step: engines are asked side by side
        sys.stdout.write(answer["outputs"][number])
        sys.stderr.write(answer["error"])
        sys.exit(answer["status"])
"""


@dataclass
class Docker:
    """What the pretended command answers, by the beginning of its arguments; to anything else, nothing and well."""

    folder: Path
    answers: dict[str, Any] = field(default_factory=dict)

    def answer(self, beginning: str, *outputs: str, status: int = 0, error: str = "") -> None:
        """Answer one call after the other with `outputs`, and all later ones with the last."""
        self.answers[beginning] = {"outputs": list(outputs) or [""], "status": status, "error": error}
        (self.folder / "answers.json").write_text(json.dumps(self.answers))

    def containers(self, *states: Mapping[str, Mapping[str, Any]]) -> None:
        """Answer `compose ps`: each state is what the services are at one look, `{"orders": {"Health": "healthy"}}`."""
        self.answer("compose ps", *(_listing(state) for state in states))

    @property
    def called(self) -> list[str]:
        """The arguments of every call so far."""
        path = self.folder / "called"
        return path.read_text().splitlines() if path.exists() else []


def _listing(state: Mapping[str, Mapping[str, Any]]) -> str:
    usual = {"State": "running", "Health": "healthy", "ExitCode": 0}
    found = (
        {"ID": f"{name}-id", "Name": f"hopline-{name}-1", "Service": name, **usual, **known}
        for name, known in state.items()
    )
    return "".join(json.dumps(one) + "\n" for one in found)


SERVICES = {
    "postgres": {"image": "postgres:18", "deploy": {"resources": {"limits": {"memory": "234881024"}}}},
    "migrate-orders": {
        "image": "hopline/orders:dev",
        "restart": "no",
        "depends_on": {"postgres": {}},
        "deploy": {"resources": {"limits": {"memory": "134217728"}}},
    },
    "orders": {
        "image": "hopline/orders:dev",
        "build": {},
        "depends_on": {"migrate-orders": {}},
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
def docker(tmp_path: Path) -> Docker:
    """An engine that answers, is new enough, and knows four services."""
    folder = tmp_path / "docker"
    folder.mkdir()
    script = folder / "docker"
    script.write_text(_SCRIPT.format(python=sys.executable, folder=str(folder)))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    pretended = Docker(folder)
    pretended.answer("version", "29.0.0\n")
    pretended.answer("compose version", "2.40.1\n")
    pretended.answer("compose config", json.dumps({"services": SERVICES}))
    pretended.containers({})
    return pretended


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(docker: Docker, tmp_path: Path) -> Run:
    """Run `python -m compose …` with that `docker`, in a home of its own, ports moved by 4300."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HOPLINE_", "COMPOSE_"))},
        "PATH": f"{docker.folder}:{os.environ['PATH']}",
        "HOPLINE_HOME": str(tmp_path / "home"),
        "HOPLINE_PORT_OFFSET": "4300",
    }

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "compose", *arguments],
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call
