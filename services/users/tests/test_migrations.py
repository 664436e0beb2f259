import asyncio
import json
import os
import sys
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory

from shared.migrations import LOCK_ID
from testkit.waiting import eventually

INI = Path(__file__).parents[1] / "alembic.ini"
RESTING = """
    SELECT count(*) = 2 FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle' AND query ILIKE 'rollback%'
"""
"""Two others have asked for their turn, and will ask again."""


async def alembic(url: str, *arguments: str) -> tuple[int | None, str]:
    """Exit status and everything printed by alembic's command line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(INI), *arguments,
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_the_migrated_database_is_what_the_models_say(users_database: str) -> None:
    status, output = await alembic(users_database, "check")
    assert status == 0, output


async def test_a_run_logs_the_revisions_it_applied_as_one_line(database: str) -> None:
    revisions = [revision.revision for revision in ScriptDirectory(str(INI.parent / "migrations")).walk_revisions()]
    for applied in (revisions[::-1], []):
        status, output = await alembic(database, "upgrade", "head")
        assert status == 0, output
        line = json.loads(output)
        assert (line["event"], line["level"], line["service"]) == ("database_migrated", "info", "users")
        assert (line["revisions"], line["heads"]) == (applied, revisions[:1])


async def test_sql_alone_is_printed_without_a_database(database: str) -> None:
    status, output = await alembic(database, "upgrade", "head", "--sql")
    assert status == 0, output
    assert "CREATE TABLE account" in output
    assert "database_migrated" not in output


async def test_two_at_once_take_turns(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_ID)
        runs = asyncio.gather(*(alembic(database, "upgrade", "head") for _ in range(2)))
        await eventually(lambda: connection.fetchval(RESTING), timeout=60, what="two migrations to wait")
        assert await connection.fetchval("SELECT to_regclass('alembic_version')") is None
    finally:
        await connection.close()
    results = await runs
    assert [status for status, _ in results] == [0, 0], results


async def test_the_way_back_leads_to_nothing(users_database: str) -> None:
    for direction in (("downgrade", "base"), ("upgrade", "head")):
        status, output = await alembic(users_database, *direction)
        assert status == 0, output
