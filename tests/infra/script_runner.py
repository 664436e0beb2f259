"""Runs the scripts of `infra/k8s` with fake programs on PATH, which record their arguments."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

IMAGES = ("gateway", "users", "orders", "notifications", "workers")

KUBECTL = """\
printf 'kubectl %s\\n' "$*" >> "$LOG"
case "$*" in
  *"get jobs"*) head -n 1 "$JOBS" | tr ';' '\\n'; [ "$(wc -l < "$JOBS")" -eq 1 ] || sed -i 1d "$JOBS" ;;
  kustomize*) cat "$RENDERED" ;;
  *"get deployments,statefulsets"*notin*) echo deployment.apps/collector; echo deployment.apps/redis ;;
  *"get deployments,statefulsets"*) echo deployment.apps/hopline-users; echo deployment.apps/hopline-workers ;;
esac
case "$*" in *"$FAILS"*) exit 1 ;; esac
"""
"""A fake kubectl, which records its arguments in $LOG.

`get jobs` prints the first line of $JOBS, one job per line, and deletes it unless it is the last. `kustomize` prints
$RENDERED. A command that contains $FAILS fails.
"""


class ScriptRunner:
    """Runs the scripts of `infra/k8s`, from a copy in the folder `home`.

    A test can change the state that the fake kubectl returns: `rendered` and `jobs`.
    """

    def __init__(self, home: Path, original: Path) -> None:
        self.home = home
        self.k8s = home / "infra/k8s"
        shutil.copytree(original, self.k8s)
        self.log = home / "log"
        self.rendered = home / "rendered.yaml"
        self.rendered.write_text("kind: Deployment\n")
        self.jobs = home / "jobs"
        self.jobs.write_text("hopline-migrate-orders Complete;hopline-migrate-users Complete\n")
        self._programs = home / "programs"
        self._programs.mkdir()
        self.add_program("kubectl", KUBECTL)
        self.add_program("sleep", 'echo "sleep $*" >> "$LOG"\n')

    def add_program(self, name: str, script: str) -> None:
        """Add or replace a fake program."""
        program = self._programs / name
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)

    def run(
        self, script: str, *arguments: str, fails: str = "never", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script, with additional variables in its environment. Calls of kubectl that contain `fails` fail."""
        variables = {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "LOG": str(self.log),
            "RENDERED": str(self.rendered),
            "JOBS": str(self.jobs),
            "FAILS": fails,
            **(environment or {}),
        }
        command = ["bash", str(self.k8s / script), *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, check=False)  # noqa: S603
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())

    def calls(self) -> list[str]:
        """Return the calls of fake programs, in their order."""
        return self.log.read_text().splitlines()


def find_first(calls: list[str], *words: str) -> int:
    """Return the position of the first call that contains all words."""
    return next(position for position, call in enumerate(calls) if all(word in call for word in words))


def find_last(calls: list[str], *words: str) -> int:
    """Return the position of the last call that contains all words."""
    return len(calls) - 1 - find_first(calls[::-1], *words)
