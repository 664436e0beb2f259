"""The migrations create the tables that the models describe, and can be reverted."""

from pathlib import Path

from testkit.databases import run_alembic

INI = Path(__file__).parents[1] / "alembic.ini"


async def test_migrated_schema_matches_the_models(database: str) -> None:
    status, output = await run_alembic(INI, database, "check")
    assert status == 0, output


async def test_downgrade_and_upgrade_succeed(database: str) -> None:
    for direction in (("downgrade", "base"), ("upgrade", "head")):
        status, output = await run_alembic(INI, database, *direction)
        assert status == 0, output
