import asyncio
from pathlib import Path

import asyncpg

from testkit.databases import run_alembic
from testkit.waiting import eventually

INI = Path(__file__).parents[1] / "alembic.ini"
REVISION_BEFORE_INDEX = "0004_create_reports"

INDEX_BUILD_WAITS = (
    "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY %' AND wait_event_type = 'Lock'"
)
"""Select an index build that waits for older transactions."""

BOTH_RUNS_ARE_CONNECTED = """
    SELECT count(*) = 4 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
"""
"""Select true if four connections are open: two of the test, and one of each run."""


async def test_index_is_built_while_orders_are_written_and_two_migrations_run(database: str) -> None:
    """One transaction writes orders when the index build starts, and another one writes orders during the build."""
    await run_alembic(INI, database, "downgrade", REVISION_BEFORE_INDEX)
    before, during = await asyncpg.connect(database), await asyncpg.connect(database)
    lock_as_a_write = "LOCK TABLE customer_order IN ROW EXCLUSIVE MODE"
    try:
        async with before.transaction():
            await before.execute(lock_as_a_write)
            runs = [asyncio.create_task(run_alembic(INI, database, "upgrade", "head")) for _ in range(2)]
            await eventually(lambda: during.fetchval(INDEX_BUILD_WAITS))
            async with during.transaction():
                await during.execute("SET LOCAL lock_timeout = '2s'")
                await during.execute(lock_as_a_write)
            await eventually(lambda: during.fetchval(BOTH_RUNS_ARE_CONNECTED))
        assert [(status, output) for status, output in await asyncio.gather(*runs) if status != 0] == []
        index_is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_customer_order_newest'::regclass"
        assert await during.fetchval(index_is_valid)
    finally:
        await before.close()
        await during.close()
