"""Programs that validators run. They come from the virtual environment where a wheel brings them, else from PATH."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """A program by name, and how a person gets it."""

    name: str
    get_it_by: str

    def path(self) -> str | None:
        """Give where it is; None where it is missing."""
        beside = Path(sys.executable).parent / self.name
        return str(beside) if beside.is_file() else shutil.which(self.name)

    def run(
        self, *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end with its output captured; the status is the caller's to judge."""
        command = [self.path() or self.name, *arguments]
        return subprocess.run(  # noqa: S603 - our own programs, on the repository's own files
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )


def missing(programs: Sequence[Program]) -> list[Program]:
    """Give those that are nowhere to be found."""
    return [program for program in programs if program.path() is None]
