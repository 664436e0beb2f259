"""`alembic upgrade head` for every database, all at once.

Importing Alembic and SQLAlchemy costs far more than the migrations. It is done once, in a process that is
started early and overlaps with the start of PostgreSQL (`python -m embedded.migrations`); told on its standard
input what to migrate, that process forks once for each database.
"""

import importlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from embedded import logs
from embedded.errors import EmbeddedError
from embedded.stack import ROOT

LAST_LINES = 15


@dataclass(frozen=True)
class Migrator:
    """A process that waits to be told what to migrate, and the file that takes its output."""

    process: subprocess.Popen[str]
    log: Path

    def run(self, urls: Mapping[str, str]) -> None:
        """Migrate the databases `{name: url}` to their newest version. Raises EmbeddedError if one fails."""
        self.process.communicate(json.dumps(dict(urls)))
        if self.process.returncode != 0:
            lines = logs.last_words(self.log, LAST_LINES)
            raise EmbeddedError("\n".join([f"a migration failed. The end of {self.log}:", *lines]))

    def cancel(self) -> None:
        """End it, whatever it is doing; a half-done migration is rolled back by PostgreSQL."""
        self.process.kill()
        self.process.wait()


def prepare(log: Path) -> Migrator:
    """Start a migrator."""
    with log.open("w") as output:
        command = [sys.executable, "-m", "embedded.migrations"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, text=True)
    return Migrator(process, log)


def _serve(orders: IO[str]) -> int:
    """Import, wait for `{name: url}` as JSON, migrate them at once; give how many failed."""
    import alembic.command
    import alembic.config

    importlib.import_module("shared.migrations")  # and with it all that the environments of the services need

    def upgrade(name: str, url: str) -> None:
        os.environ["DATABASE_URL"] = url
        folder = ROOT / "workers" if name == "workers" else ROOT / "services" / name
        alembic.command.upgrade(alembic.config.Config(str(folder / "alembic.ini")), "head")

    forked = multiprocessing.get_context("fork")
    runs = [forked.Process(target=upgrade, args=order, name=order[0]) for order in json.load(orders).items()]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    return sum(run.exitcode != 0 for run in runs)


if __name__ == "__main__":
    sys.exit(_serve(sys.stdin))
