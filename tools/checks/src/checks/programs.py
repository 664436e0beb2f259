"""Programs that validators run: from the virtual environment if a wheel contains them, otherwise from PATH."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """A program by name, and how to install it."""

    name: str
    get_it_by: str

    def path(self) -> str | None:
        """Return its path, None if it is missing."""
        beside = Path(sys.executable).parent / self.name
        return str(beside) if beside.is_file() else shutil.which(self.name)

    def run(
        self, *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it and capture its output. The caller checks the exit status."""
        command = [self.path() or self.name, *arguments]
        return subprocess.run(  # noqa: S603 - known programs, on files of the repository
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )


@dataclass(frozen=True, slots=True)
class NodeProgram(Program):
    """A program that `npm ci` has installed into `folder`."""

    folder: Path

    def path(self) -> str | None:
        """Return its path, or None if it or `node` is missing."""
        installed = self.folder / "node_modules/.bin" / self.name
        return str(installed) if installed.is_file() and Program("node", "").path() else None


def missing(programs: Sequence[Program]) -> list[Program]:
    """Return the programs that are not installed."""
    return [program for program in programs if program.path() is None]
