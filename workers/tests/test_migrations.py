from pathlib import Path

from testkit.databases import run_alembic

INI = Path(__file__).parents[1] / "alembic.ini"


async def test_migrations_match_the_models_and_can_be_reverted_and_repeated(database: str) -> None:
    for command in ("upgrade head", "check", "downgrade base", "upgrade head"):
        status, output = await run_alembic(INI, database, *command.split())
        assert status == 0, output
