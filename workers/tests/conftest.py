from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.databases import MigratedDatabase

from .world import World, open_world


@pytest.fixture
async def world(migrated_database: MigratedDatabase, redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """The test's own world, in which everybody answers; no worker runs in it yet."""
    database_url = await migrated_database("workers")
    async with open_world(database_url=database_url, redis_url=redis_url, objects=tmp_path / "objects") as opened:
        yield opened
