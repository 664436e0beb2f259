import asyncio
import os
import sys
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from orders.models import Base
from shared.database import async_url
from testkit.databases import create_database, drop_database

INI = Path(__file__).parents[1] / "alembic.ini"

CHECKS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype = 'c' AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY conname
"""


async def alembic(url: str, *arguments: str) -> tuple[int | None, str]:
    """Exit status and everything printed by alembic's command line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(INI), *arguments,
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def checks(url: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(CHECKS)]
    finally:
        await connection.close()


async def test_the_migrated_database_is_what_the_models_say(database: str) -> None:
    status, output = await alembic(database, "check")
    assert status == 0, output


async def test_the_way_back_leads_to_nothing(database: str) -> None:
    for direction in (("downgrade", "base"), ("upgrade", "head")):
        status, output = await alembic(database, *direction)
        assert status == 0, output


async def test_check_constraints_are_those_of_the_models(database: str, postgres_url: str) -> None:
    """Alembic does not compare them, and they are what makes overselling impossible."""
    url = await create_database(postgres_url)
    engine = create_async_engine(async_url(url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        assert await checks(database) == await checks(url) != []
    finally:
        await engine.dispose()
        await drop_database(postgres_url, url)
