from pathlib import Path

from testkit.databases import run_alembic

INI = Path(__file__).parents[1] / "alembic.ini"


async def test_migrated_schema_matches_the_models(database: str) -> None:
    for command in ("upgrade head", "check", "downgrade base", "upgrade head"):
        status, output = await run_alembic(INI, database, *command.split())
        assert status == 0, output
