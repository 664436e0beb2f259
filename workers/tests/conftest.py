from collections.abc import AsyncIterator

import pytest

from testkit.databases import MigratedDatabase

from .world import World, open_world


@pytest.fixture
async def world(migrated_database: MigratedDatabase, redis_url: str) -> AsyncIterator[World]:
    """The test's own world, in which everybody answers; no worker runs in it yet."""
    async with open_world(database_url=await migrated_database("workers"), redis_url=redis_url) as opened:
        yield opened
