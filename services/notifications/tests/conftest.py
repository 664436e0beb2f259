import pytest
from testkit.databases import MigratedDatabase


@pytest.fixture
async def database(migrated_database: MigratedDatabase) -> str:
    """A fresh database with this service's tables."""
    return await migrated_database("notifications")
