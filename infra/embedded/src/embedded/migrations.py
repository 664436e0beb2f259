"""Runs `alembic upgrade head` for all databases at the same time.

Importing Alembic and SQLAlchemy takes much longer than the migrations. A separate process (`python -m
embedded.migrations`) imports them once. It is started early, while PostgreSQL's data directory is created. It reads the
databases to migrate from standard input and forks once for each of them.
"""

import importlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import PIPE
from typing import IO

from embedded import logs
from embedded.errors import EmbeddedError
from embedded.revisions import folder_of

LAST_LINES = 15


class Migrator:
    """A process that imports Alembic early and migrates databases later. Its output replaces the content of `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def prepare(self) -> subprocess.Popen[str]:
        """Start the process if it is not running, and return it."""
        if self._process is None:
            command = [sys.executable, "-m", "embedded.migrations"]
            with self._log.open("w") as output:
                self._process = subprocess.Popen(command, stdin=PIPE, stdout=output, stderr=output, text=True)
        return self._process

    def run(self, urls: Mapping[str, str]) -> None:
        """Migrate the databases `{name: url}` to their newest version. Raises EmbeddedError if one fails."""
        if not urls:
            return
        process = self.prepare()
        process.communicate(json.dumps(dict(urls)))
        if process.returncode != 0:
            lines = logs.last_lines(self._log, LAST_LINES)
            raise EmbeddedError("\n".join([f"a migration failed. The end of {self._log}:", *lines]))

    def cancel(self) -> None:
        """Kill the process. PostgreSQL rolls back a migration in progress."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _serve(requests: IO[str]) -> int:
    """Import Alembic, read `{name: url}` as JSON, migrate the databases in parallel; return the number of failures."""
    import alembic.command
    import alembic.config

    importlib.import_module("shared.db.migrations")  # imports the dependencies of the migrations

    def upgrade(name: str, url: str) -> None:
        os.environ["DATABASE_URL"] = url
        alembic.command.upgrade(alembic.config.Config(str(folder_of(name) / "alembic.ini")), "head")

    forked = multiprocessing.get_context("fork")
    runs = [forked.Process(target=upgrade, args=(name, url), name=name) for name, url in json.load(requests).items()]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    return sum(run.exitcode != 0 for run in runs)


if __name__ == "__main__":
    sys.exit(_serve(sys.stdin))
