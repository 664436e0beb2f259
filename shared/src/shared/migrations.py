"""Alembic's environment, once for all: a service's `migrations/env.py` calls `run_migrations(Base.metadata)`.

One transaction per run, so that a failing migration leaves nothing behind; an advisory lock, so that two runs at once
(two replicas of a Job, a person and a deployment) take turns and the second finds nothing to do.
"""

import asyncio
import os
import sys
from pathlib import Path

from alembic import context
from sqlalchemy import Connection, MetaData, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK_ID = 4_675_467_001
"""Key of the advisory lock; any constant serves that nobody else uses in the same database."""

LOCK_TIMEOUT = "5s"
"""How long a migration waits for a table's lock; waiting longer would block the traffic that queues behind it."""


def run_migrations(metadata: MetaData) -> None:
    """Migrate the database at `DATABASE_URL`, or print the SQL where alembic was called with `--sql`."""
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
    else:
        asyncio.run(_migrate(_database_url(), metadata))


async def _migrate(url: str, metadata: MetaData) -> None:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_run, metadata)
    finally:
        await engine.dispose()


def _run(connection: Connection, metadata: MetaData) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
    connection.execute(text("SELECT set_config('lock_timeout', :value, true)"), {"value": LOCK_TIMEOUT})
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    context.run_migrations()


def _database_url() -> str:
    """`DATABASE_URL`, or the content of the file that `DATABASE_URL_FILE` names; ends the process where neither is."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    if path := os.environ.get("DATABASE_URL_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    sys.exit("configuration error: DATABASE_URL: needed to migrate")
