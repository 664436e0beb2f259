"""Alembic's environment. A `migrations/env.py` calls `run_migrations(Base.metadata, service="orders")`.

Each migration is one transaction, so that a failed one has no effect. An advisory lock serialises concurrent runs, such
as two replicas of a Job. The second run has nothing to do. The lock is polled, because a waiting statement would
block `CREATE INDEX CONCURRENTLY`.

A successful run writes one log record with the revisions that it applied.
"""

import asyncio
import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from alembic import context, op
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.config import ConfigurationError, DatabaseSettings, ProcessSettings, load_settings
from shared.db.database import CONNECT_TIMEOUT_S, get_available_connections
from shared.db.urls import async_url
from shared.logging.setup import configure_logging

log = structlog.get_logger(__name__)

LOCK_ID = 4_675_467_001
"""Key of the advisory lock: any constant that no other advisory lock of the database uses."""

LOCK_POLL_S = 0.2
"""Interval at which the lock is polled, in seconds."""

LOCK_TIMEOUT = "5s"
"""How long a migration waits for a table lock. A longer wait would block the traffic that queues behind it."""


def run_migrations(metadata: MetaData, *, service: str) -> None:
    """Migrate the database of a service at `DATABASE_URL`, or print the SQL if alembic was called with `--sql`."""
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
    else:
        configure_logging(service=service)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # `database_migrated` has the same information
        try:
            asyncio.run(_migrate(database_url(), metadata))
        except ConfigurationError as error:
            sys.exit(f"configuration error: {error}")


def build_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Build an index concurrently, without blocking writes to the table.

    It must be the only step of its revision, because it runs outside of a transaction. An interrupted run leaves an
    invalid index, which is dropped first.
    """
    with op.get_context().autocommit_block():
        # A concurrent build waits for older transactions, and blocks no writes meanwhile.
        op.execute("SET lock_timeout = 0")
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, list(columns), postgresql_concurrently=True, **options)
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")


async def _migrate(url: str, metadata: MetaData) -> None:
    engine = create_async_engine(
        async_url(url), poolclass=NullPool, connect_args={"timeout": CONNECT_TIMEOUT_S}, hide_parameters=True
    )
    try:
        await get_available_connections(engine)  # waits for a server that is starting
        async with engine.connect() as connection:
            while not await connection.scalar(text("SELECT pg_try_advisory_lock(:id)"), {"id": LOCK_ID}):
                await connection.rollback()
                await asyncio.sleep(LOCK_POLL_S)
            await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            await connection.commit()
            await connection.run_sync(_run, metadata)
    finally:
        await engine.dispose()


def _run(connection: Connection, metadata: MetaData) -> None:
    applied: list[str | None] = []

    def record_revision(
        ctx: MigrationContext,  # noqa: ARG001 - alembic passes all four by name
        step: MigrationInfo,
        heads: Collection[Any],  # noqa: ARG001
        run_args: Mapping[str, Any],  # noqa: ARG001
    ) -> None:
        applied.append(step.up_revision_id)

    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=True,
        transaction_per_migration=True,
        on_version_apply=record_revision,
    )
    with context.begin_transaction():
        context.run_migrations()
    log.info("database_migrated", revisions=applied, heads=list(context.get_context().get_current_heads()))


class MigrationSettings(DatabaseSettings, ProcessSettings):
    """The settings of a migration: `DATABASE_URL`."""


def database_url() -> str:
    """Return `DATABASE_URL`. If it is missing or invalid, print the reason and exit with status 4."""
    return str(load_settings(MigrationSettings).database_url)
