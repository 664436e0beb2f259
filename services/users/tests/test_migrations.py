import asyncio
import json
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory

from shared.db.migrations import LOCK_ID
from testkit.databases import run_alembic
from testkit.waiting import eventually

INI = Path(__file__).parents[1] / "alembic.ini"
TWO_RUNS_WAIT = """
    SELECT count(*) = 2 FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle' AND query ILIKE 'rollback%'
"""
"""True if two runs have failed to get the advisory lock and pause before they try again."""


async def test_upgrade_logs_the_applied_revisions_in_one_record(database: str) -> None:
    scripts = ScriptDirectory(str(INI.parent / "migrations"))
    newest_first = [script.revision for script in scripts.walk_revisions()]
    oldest_first = newest_first[::-1]
    for applied in (oldest_first, []):  # the second run has nothing to apply
        status, output = await run_alembic(INI, database, "upgrade", "head")
        assert status == 0, output
        record = json.loads(output)
        assert (record["event"], record["level"], record["service"]) == ("database_migrated", "info", "users")
        assert (record["revisions"], record["heads"]) == (applied, [newest_first[0]])


async def test_upgrade_prints_statements_and_no_log_records_when_called_with_sql(database: str) -> None:
    status, output = await run_alembic(INI, database, "upgrade", "head", "--sql")
    assert status == 0, output
    assert "CREATE TABLE account" in output
    assert "database_migrated" not in output


async def test_upgrades_run_one_after_another_when_started_concurrently(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_ID)
        runs = asyncio.gather(*(run_alembic(INI, database, "upgrade", "head") for _ in range(2)))
        await eventually(lambda: connection.fetchval(TWO_RUNS_WAIT), timeout=60, what="two migrations to wait")
        assert await connection.fetchval("SELECT to_regclass('alembic_version')") is None
    finally:
        await connection.close()
    results = await runs
    assert [status for status, _ in results] == [0, 0], results
