import asyncio
import os
import sys
from pathlib import Path

INI = Path(__file__).parents[1] / "alembic.ini"


async def alembic(url: str, *arguments: str) -> tuple[int | None, str]:
    """Run alembic and return its exit status and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(INI), *arguments,
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_migrated_schema_matches_the_models(database: str) -> None:
    for command in ("upgrade head", "check", "downgrade base", "upgrade head"):
        status, output = await alembic(database, *command.split())
        assert status == 0, output
