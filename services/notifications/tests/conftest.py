"""One stage per test: stores of its own, on which instances of the service are started."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.factories import Instance, Stage, open_stage

from testkit.databases import MigratedDatabase
from testkit.tokens import TokenIssuer


@pytest.fixture
async def database(migrated_database: MigratedDatabase) -> str:
    return await migrated_database("notifications")


@pytest.fixture
async def stage(database: str, redis_url: str, token_issuer: TokenIssuer) -> AsyncIterator[Stage]:
    async with open_stage(database_url=database, redis_url=redis_url, issuer=token_issuer) as stage:
        yield stage


@pytest.fixture
async def instance(stage: Stage) -> Instance:
    return await stage.start()


@pytest.fixture
def user() -> UUID:
    return uuid4()
