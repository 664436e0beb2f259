import asyncio
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from orders.models import Base
from shared.db.database import async_url
from testkit.databases import create_database, drop_database, run_alembic
from testkit.waiting import eventually

INI = Path(__file__).parents[1] / "alembic.ini"

CHECKS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype = 'c' AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY conname
"""

BUILDING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY %' AND wait_event_type = 'Lock'"
"""Selects an index build that waits for older transactions."""

CONNECTED = """
    SELECT count(*) = 4 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
"""
"""True if the test's two connections and those of both runs are open."""


async def list_checks(url: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(CHECKS)]
    finally:
        await connection.close()


async def test_migrated_schema_matches_the_models(database: str) -> None:
    status, output = await run_alembic(INI, database, "check")
    assert status == 0, output


async def test_downgrade_and_upgrade_succeed(database: str) -> None:
    for direction in (("downgrade", "base"), ("upgrade", "head")):
        status, output = await run_alembic(INI, database, *direction)
        assert status == 0, output


async def test_check_constraints_match_the_models(database: str, postgres_url: str) -> None:
    """`alembic check` does not compare check constraints, and they prevent overselling."""
    url = await create_database(postgres_url)
    engine = create_async_engine(async_url(url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        assert await list_checks(database) == await list_checks(url) != []
    finally:
        await engine.dispose()
        await drop_database(postgres_url, url)


async def test_index_is_built_while_the_table_is_written(database: str) -> None:
    """Two runs are concurrent, and orders are written before and during them."""
    await run_alembic(INI, database, "downgrade", "0004_create_reports")
    before, during = await asyncpg.connect(database), await asyncpg.connect(database)
    writing = "LOCK TABLE customer_order IN ROW EXCLUSIVE MODE"
    try:
        async with before.transaction():
            await before.execute(writing)
            runs = [asyncio.create_task(run_alembic(INI, database, "upgrade", "head")) for _ in range(2)]
            await eventually(lambda: during.fetchval(BUILDING), 30)
            async with during.transaction():
                await during.execute("SET LOCAL lock_timeout = '2s'")
                await during.execute(writing)
            await eventually(lambda: during.fetchval(CONNECTED), 30)
        assert [(status, output) for status, output in await asyncio.gather(*runs) if status != 0] == []
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_customer_order_newest'::regclass"
        assert await during.fetchval(valid)
    finally:
        await before.close()
        await during.close()
