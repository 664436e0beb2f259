"""`alembic upgrade head` for every database, all at once.

Importing Alembic and SQLAlchemy costs far more than the migrations. It is done once, in a process of its own
(`python -m embedded.migrations`) that can be started early, to overlap with the creation of PostgreSQL's data; told on
its standard input what to migrate, that process forks once for each database.
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
    """A process that imports early and is told later what to migrate; `log` takes its output."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def prepare(self) -> subprocess.Popen[str]:
        """Start the process, unless it is started."""
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
            lines = logs.last_words(self._log, LAST_LINES)
            raise EmbeddedError("\n".join([f"a migration failed. The end of {self._log}:", *lines]))

    def cancel(self) -> None:
        """End it, whatever it is doing; a half-done migration is rolled back by PostgreSQL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _serve(orders: IO[str]) -> int:
    """Import, wait for `{name: url}` as JSON, migrate them at once; give how many failed."""
    import alembic.command
    import alembic.config

    importlib.import_module("shared.migrations")  # and with it all that the environments of the services need

    def upgrade(name: str, url: str) -> None:
        os.environ["DATABASE_URL"] = url
        alembic.command.upgrade(alembic.config.Config(str(folder_of(name) / "alembic.ini")), "head")

    forked = multiprocessing.get_context("fork")
    runs = [forked.Process(target=upgrade, args=order, name=order[0]) for order in json.load(orders).items()]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    return sum(run.exitcode != 0 for run in runs)


if __name__ == "__main__":
    sys.exit(_serve(sys.stdin))
