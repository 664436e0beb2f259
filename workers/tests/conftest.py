from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.databases import MigratedDatabase

from .harness import Harness, open_harness


@pytest.fixture
async def harness(migrated_database: MigratedDatabase, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """Open a harness. All dependencies of a worker are available, but no worker runs yet."""
    database_url = await migrated_database("workers")
    async with open_harness(database_url=database_url, redis_url=redis_url, objects=tmp_path / "objects") as opened:
        yield opened
