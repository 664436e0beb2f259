from pathlib import Path

from testkit.databases import assert_migrations_can_be_reverted, assert_schema_matches_models

INI = Path(__file__).parents[1] / "alembic.ini"


async def test_migrated_schema_matches_the_models(database: str) -> None:
    await assert_schema_matches_models(INI, database)


async def test_downgrade_and_upgrade_succeed(database: str) -> None:
    await assert_migrations_can_be_reverted(INI, database)
