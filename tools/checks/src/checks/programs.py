"""Programs that validators run: from the virtual environment if a wheel contains them, otherwise from PATH."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_OUTPUT_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Program:
    """A program by name, and how to install it."""

    name: str
    install_hint: str

    def path(self) -> str | None:
        """Return the path of the program, or None if it is missing."""
        beside = Path(sys.executable).parent / self.name
        return str(beside) if beside.is_file() else shutil.which(self.name)

    def run(
        self, *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the program and capture its output. The caller checks the exit status."""
        command = [self.path() or self.name, *arguments]
        return subprocess.run(  # noqa: S603 - known programs, on files of the repository
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )


@dataclass(frozen=True, slots=True)
class NodeProgram(Program):
    """A program that `npm ci` has installed into `folder`."""

    folder: Path

    def path(self) -> str | None:
        """Return the path of the program, or None if the program or `node` is missing."""
        installed = self.folder / "node_modules/.bin" / self.name
        return str(installed) if installed.is_file() and Program("node", "").path() else None


def end_of_output(*texts: str) -> str:
    """Return the end of a program's output, for a finding."""
    return " ".join(texts).strip()[-MAX_OUTPUT_CHARACTERS:]


def missing(programs: Sequence[Program]) -> list[Program]:
    """Return the programs that are not installed."""
    return [program for program in programs if program.path() is None]
