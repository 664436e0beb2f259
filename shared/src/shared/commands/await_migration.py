"""Wait until the database has the schema that this image needs: `python -m shared.commands.await_migration`.

The program runs in the init container of a pod whose migration may still be running. Run it in the folder of a service,
which contains `alembic.ini`. The database is ready if it is at the head revision of the image, or at an unknown
revision: then a newer version has migrated it, and schemas only expand (docs/deploy.md).

It writes one log record if it has to wait, and one if it times out. The exit status is 0, 1 after `TIMEOUT_S`,
or 4 if `DATABASE_URL` is missing or invalid.
"""

import asyncio
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import structlog
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.db.database import CONNECT_TIMEOUT_S
from shared.db.migrations import database_url
from shared.db.urls import async_url
from shared.logging.setup import configure_logging

log = structlog.get_logger(__name__)

TIMEOUT_S = 600.0
"""The time limit of a migration Job (`activeDeadlineSeconds`)."""
PAUSE_S = 0.5


@dataclass(frozen=True)
class Revisions:
    """The migrations of an image: its heads, and every revision that leads to them."""

    heads: frozenset[str]
    revisions: frozenset[str]

    @classmethod
    def of(cls, ini: Path) -> "Revisions":
        """Read the migrations of an `alembic.ini`."""
        scripts = ScriptDirectory.from_config(Config(ini))
        return cls(frozenset(scripts.get_heads()), frozenset(script.revision for script in scripts.walk_revisions()))

    def satisfied_by(self, current: frozenset[str]) -> bool:
        """Return whether this image can use a database at `current`."""
        return self.heads <= current or bool(current - self.revisions)


async def await_migration(url: str, revisions: Revisions, *, timeout_s: float = TIMEOUT_S) -> bool:
    """Return True once the database has the schema, or False after `timeout_s`."""
    engine = create_async_engine(
        async_url(url), poolclass=NullPool, connect_args={"timeout": CONNECT_TIMEOUT_S}, hide_parameters=True
    )
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    waiting = False
    while True:
        current, error = await _read_revisions(engine)
        if current is not None and revisions.satisfied_by(current):
            return True
        state = {"current": sorted(current or ()), "heads": sorted(revisions.heads), "error": error}
        if loop.time() >= deadline:
            log.error("migration_missing", waited_s=timeout_s, **state)
            return False
        if not waiting:
            log.info("waiting_for_migration", timeout_s=timeout_s, **state)
            waiting = True
        await asyncio.sleep(PAUSE_S)


async def _read_revisions(engine: AsyncEngine) -> tuple[frozenset[str] | None, str | None]:
    """Return the revisions of the database, or None and the reason why they cannot be read."""
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_current), None
    except (OSError, DBAPIError) as error:
        return None, str(error) or type(error).__name__  # a TimeoutError has no message


def _current(connection: Connection) -> frozenset[str]:
    return frozenset(MigrationContext.configure(connection).get_current_heads())


def main() -> int:
    """Wait for the database at `DATABASE_URL` or in the file `DATABASE_URL_FILE`."""
    configure_logging(service=os.environ.get("OTEL_SERVICE_NAME", "unknown_service"))
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every connection attempt
    return 0 if asyncio.run(await_migration(database_url(), Revisions.of(Path("alembic.ini")))) else 1


if __name__ == "__main__":
    sys.exit(main())
