import asyncio
import os
import sys
from pathlib import Path

INI = Path(__file__).parents[1] / "alembic.ini"


async def alembic(url: str, *arguments: str) -> tuple[int | None, str]:
    """Exit status and everything printed by alembic's command line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(INI), *arguments,
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_the_migrated_database_is_what_the_models_say(database: str) -> None:
    for command in ("upgrade head", "check", "downgrade base", "upgrade head"):
        status, output = await alembic(database, *command.split())
        assert status == 0, output
